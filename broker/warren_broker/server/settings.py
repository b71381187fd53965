"""Settings: all that the server can be told, as frozen values.

They know no file and no environment: whoever starts the server fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - whoever fills it in asks
from typing import Final

import attrs
from attrs import field
from attrs.validators import and_, ge, gt, in_, le, optional

from warren_broker.core.arguments import RedeclareMode
from warren_broker.core.broker import Identity
from warren_broker.core.limits import Limits
from warren_broker.storage.settings import RESERVE_SIZE, SEGMENT_SIZE

PORT: Final = 5672
PORT_TLS: Final = 5671


class SettingsError(Exception):
    """A setting cannot be used: the text says which and why."""


@attrs.frozen
class Address:
    """Where to listen. Port 0: any free one."""

    host: str
    port: int = field(validator=in_(range(65_536)))

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``[IPv6]:PORT``. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if not (colon and port.isascii() and port.isdigit() and host):
            raise ValueError(f"{text!r} is not HOST:PORT")
        if ":" in host and not is_bracketed:
            raise ValueError(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@attrs.frozen(kw_only=True)
class ListenerSettings:
    """Where clients come in."""

    tcp: tuple[Address, ...] = (Address("127.0.0.1", PORT),)
    tls: tuple[Address, ...] = ()
    unix_socket: str | None = None
    """A path; its socket is for this user only."""

    @property
    def are_any(self) -> bool:
        """Some client could come in."""
        return bool(self.tcp or self.tls or self.unix_socket)


@attrs.frozen(kw_only=True)
class TlsSettings:
    """Paths of PEM files. `client_ca`: clients must show a certificate it signed."""

    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    minimum_version: str = field(default="1.2", validator=in_(("1.2", "1.3")))


@attrs.frozen(kw_only=True)
class MemorySettings:
    """When the memory alarm goes on."""

    limit_bytes: int | None = field(default=None, validator=optional(gt(0)))
    limit_ratio: float = field(default=0.6, validator=and_(gt(0), le(1)))
    """Of the memory the process may use, where `limit_bytes` is not set."""


@attrs.frozen(kw_only=True)
class PermissionSettings:
    """What a user may do in one vhost: three regular expressions over names."""

    vhost: str = "/"
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


@attrs.frozen(kw_only=True)
class UserSettings:
    """One user: a password, or its hash as RabbitMQ writes it."""

    name: str
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)
    hashing_algorithm: str = "rabbit_password_hashing_sha256"
    tags: tuple[str, ...] = ()
    permissions: tuple[PermissionSettings, ...] = ()


@attrs.frozen(kw_only=True)
class AuthSettings:
    """Users and vhosts to start with. No users: guest, with all rights on `/`."""

    users: tuple[UserSettings, ...] = ()
    vhosts: tuple[str, ...] = ("/",)
    loopback_users: tuple[str, ...] = ("guest",)
    """They can log in from this machine only."""


@attrs.frozen(kw_only=True)
class CompatSettings(Identity):
    """What clients are told they speak to; some look before they use an extension."""

    redeclare_mode: str = field(
        default=RedeclareMode.STRICT.value,
        validator=in_([mode.value for mode in RedeclareMode]),
    )
    """What becomes of a declare with other arguments, unless a policy says it."""


@attrs.frozen(kw_only=True)
class PolicySettings:
    """A policy, or an operator policy: rules for what matches `pattern` in `vhost`."""

    name: str
    pattern: str
    definition: Mapping[str, object]
    vhost: str = "/"
    apply_to: str = "all"
    priority: int = 0


@attrs.frozen(kw_only=True)
class DefinitionsSettings:
    """What a broker begins with that has nothing yet."""

    file: str | None = None
    """A definitions file as RabbitMQ exports it."""


@attrs.frozen(kw_only=True)
class StorageSettings:
    """Where durable things are kept; nowhere without `data_dir`."""

    memory_only: bool = False
    data_dir: str | None = None
    sync: str = "always"
    """When what was written counts as safe: always, interval:MS or os."""
    in_memory_bytes: int | None = field(default=None, validator=optional(ge(0)))
    """How much of long queues may be in memory, where there is a `data_dir` for the
    rest; by default half of what the memory alarm allows."""
    free_bytes_min: int | None = field(default=None, validator=optional(ge(0)))
    """With less free space in the file system publishers are blocked; by default 5 % of
    it, within two segments and 1 GiB. 0: only when nothing can be written any more."""
    segment_bytes: int = field(
        default=SEGMENT_SIZE, validator=and_(ge(1 << 20), le(1 << 30))
    )
    """Size of a file of the journal: space is given back in such pieces."""
    reserve_bytes: int = field(default=RESERVE_SIZE, validator=ge(0))
    """Space that is kept so that acks can be written when the disk is full. 0: none."""


@attrs.frozen(kw_only=True)
class ServerSettings:
    """Everything the server needs to start."""

    listeners: ListenerSettings = field(factory=ListenerSettings)
    tls: TlsSettings = field(factory=TlsSettings)
    limits: Limits = field(factory=Limits)
    memory: MemorySettings = field(factory=MemorySettings)
    auth: AuthSettings = field(factory=AuthSettings)
    compat: CompatSettings = field(factory=CompatSettings)
    policies: tuple[PolicySettings, ...] = ()
    operator_policies: tuple[PolicySettings, ...] = ()
    definitions: DefinitionsSettings = field(factory=DefinitionsSettings)
    storage: StorageSettings = field(factory=StorageSettings)
