"""Password hashes in the form RabbitMQ keeps and exports them.

A hash is four bytes of salt and the digest of salt and password
(``rabbit_password.erl``), so that definitions can be moved between the brokers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Final

import attrs

SALT_SIZE: Final = 4


class HashAlgorithm(StrEnum):
    """RabbitMQ's names, as in ``hashing_algorithm`` of its definitions."""

    SHA256 = "rabbit_password_hashing_sha256"
    SHA512 = "rabbit_password_hashing_sha512"


_DIGESTS: Final = {
    HashAlgorithm.SHA256: hashlib.sha256,
    HashAlgorithm.SHA512: hashlib.sha512,
}


@attrs.frozen
class PasswordHash:
    """A salted hash: all that is kept of a password."""

    salt: bytes
    digest: bytes = attrs.field(repr=False)
    algorithm: HashAlgorithm = HashAlgorithm.SHA256

    @classmethod
    def of(
        cls,
        password: bytes,
        *,
        salt: bytes | None = None,
        algorithm: HashAlgorithm = HashAlgorithm.SHA256,
    ) -> PasswordHash:
        """Hash ``password``, with a random salt unless one is given."""
        salt = secrets.token_bytes(SALT_SIZE) if salt is None else salt
        return cls(salt, _DIGESTS[algorithm](salt + password).digest(), algorithm)

    @classmethod
    def decode(cls, text: str, algorithm: HashAlgorithm) -> PasswordHash:
        """Read a hash from a definitions file (base64).

        Raises ValueError if it is none of that algorithm's.
        """
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError("a password hash is base64") from error
        salt, digest = data[:SALT_SIZE], data[SALT_SIZE:]
        size = _DIGESTS[algorithm]().digest_size
        if len(digest) != size:
            raise ValueError(f"a hash by {algorithm} has {SALT_SIZE} + {size} bytes")
        return cls(salt, digest, algorithm)

    def encode(self) -> str:
        """Return the hash as a definitions file holds it."""
        return base64.b64encode(self.salt + self.digest).decode()

    def matches(self, password: bytes) -> bool:
        """Return True for the right password; takes as long for a wrong one."""
        digest = _DIGESTS[self.algorithm](self.salt + password).digest()
        return hmac.compare_digest(digest, self.digest)


NO_PASSWORD: Final = PasswordHash(bytes(SALT_SIZE), bytes(32))
"""Matches nothing; compared with for users that do not exist, to take as long."""
