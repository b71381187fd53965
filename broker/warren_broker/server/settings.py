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
from warren_broker.core.meaning import meaning
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

    tcp: tuple[Address, ...] = field(
        default=(Address("127.0.0.1", PORT),),
        metadata=meaning(
            "Where to listen; port 0 is any free one, an empty list is nowhere."
        ),
    )
    tls: tuple[Address, ...] = field(
        default=(),
        metadata=meaning("Where to listen for TLS; the usual port is 5671."),
    )
    unix_socket: str | None = field(
        default=None,
        metadata=meaning("A path; its socket is for this user only."),
    )

    @property
    def are_any(self) -> bool:
        """Some client could come in."""
        return bool(self.tcp or self.tls or self.unix_socket)


@attrs.frozen(kw_only=True)
class TlsSettings:
    """Paths of PEM files, needed to listen for TLS."""

    certificate: str | None = field(
        default=None,
        metadata=meaning("The certificate, and those between it and a root."),
    )
    key: str | None = field(
        default=None,
        metadata=meaning("Its key; if not given it is in the file of the certificate."),
    )
    client_ca: str | None = field(
        default=None,
        metadata=meaning("If given, clients must show a certificate it has signed."),
    )
    minimum_version: str = field(
        default="1.2",
        validator=in_(("1.2", "1.3")),
        metadata=meaning("The oldest version of TLS that is spoken."),
    )


@attrs.frozen(kw_only=True)
class MemorySettings:
    """When the memory alarm goes on."""

    limit_bytes: int | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata=meaning("Above this much resident memory publishers are blocked."),
    )
    limit_ratio: float = field(
        default=0.6,
        validator=and_(gt(0), le(1)),
        metadata=meaning(
            "The same, as a part of what the process may use (the limit of its control"
            " group, or all memory), where `limit_bytes` is not set."
        ),
    )


@attrs.frozen(kw_only=True)
class PermissionSettings:
    """What a user may do in one virtual host: regular expressions over names."""

    vhost: str = field(default="/", metadata=meaning("The virtual host."))
    configure: str = field(
        default=".*", metadata=meaning("What may be declared and deleted.")
    )
    write: str = field(
        default=".*",
        metadata=meaning("What may be published to, and bound as a target."),
    )
    read: str = field(
        default=".*",
        metadata=meaning("What may be consumed, purged, and bound as a source."),
    )


@attrs.frozen(kw_only=True)
class UserSettings:
    """One user: a password, or its hash as RabbitMQ writes it."""

    name: str = field(metadata=meaning("What the user logs in as."))
    password: str | None = field(
        default=None, repr=False, metadata=meaning("The password.")
    )
    password_hash: str | None = field(
        default=None, repr=False, metadata=meaning("Instead of it, its hash in base64.")
    )
    hashing_algorithm: str = field(
        default="rabbit_password_hashing_sha256",
        metadata=meaning(
            "How that was made; `rabbit_password_hashing_sha512` is the other way."
        ),
    )
    tags: tuple[str, ...] = field(
        default=(), metadata=meaning("RabbitMQ's, such as `administrator`.")
    )
    permissions: tuple[PermissionSettings, ...] = field(
        default=(),
        metadata=meaning(
            "One table a virtual host; without any the user gets nowhere."
        ),
    )


@attrs.frozen(kw_only=True)
class AuthSettings:
    """Users and virtual hosts to start with; no users is guest, who may all on `/`."""

    users: tuple[UserSettings, ...] = field(
        default=(), metadata=meaning("Who can log in.")
    )
    vhosts: tuple[str, ...] = field(
        default=("/",), metadata=meaning("The virtual hosts.")
    )
    loopback_users: tuple[str, ...] = field(
        default=("guest",), metadata=meaning("They can log in from this machine only.")
    )


@attrs.frozen(kw_only=True)
class CompatSettings(Identity):
    """What clients are told they speak to; some look before they use an extension."""

    redeclare_mode: str = field(
        default=RedeclareMode.STRICT.value,
        validator=in_([mode.value for mode in RedeclareMode]),
        metadata=meaning(
            "What becomes of a declare with other arguments, unless the queue or a"
            " policy says it."
        ),
    )


@attrs.frozen(kw_only=True)
class PolicySettings:
    """A policy, or an operator policy: rules for what matches `pattern` in `vhost`."""

    name: str = field(metadata=meaning("Unique in its virtual host."))
    pattern: str = field(metadata=meaning("A regular expression, searched in names."))
    definition: Mapping[str, object] = field(
        metadata=meaning("The rules: keys and values.")
    )
    vhost: str = field(default="/", metadata=meaning("The virtual host."))
    apply_to: str = field(
        default="all",
        metadata=meaning(
            "`queues`, `classic_queues`, `quorum_queues`, `streams`, `exchanges` or"
            " `all`."
        ),
    )
    priority: int = field(
        default=0,
        metadata=meaning(
            "Of several that match the one of the highest priority holds."
        ),
    )


@attrs.frozen(kw_only=True)
class DefinitionsSettings:
    """What a broker begins with that has nothing yet."""

    file: str | None = field(
        default=None,
        metadata=meaning(
            "A definitions file as RabbitMQ exports it, loaded if there is nothing yet."
        ),
    )


@attrs.frozen(kw_only=True)
class StorageSettings:
    """Where durable things are kept; nowhere without `data_dir`."""

    memory_only: bool = field(
        default=False,
        metadata=meaning("Keep everything in memory, and do not warn of it."),
    )
    data_dir: str | None = field(
        default=None, metadata=meaning("Keep what is durable in this directory.")
    )
    sync: str = field(
        default="always",
        metadata=meaning(
            "When a message counts as safe: when the disk has it (`always`), or when"
            " the system has it, which passes it on at an interval (`interval:MS`) or"
            " when it likes (`os`)."
        ),
    )
    in_memory_bytes: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata=meaning(
            "How much of long queues may be in memory, where there is a `data_dir` for"
            " the rest; if not given half of what the memory alarm allows."
        ),
    )
    free_bytes_min: int | None = field(
        default=None,
        validator=optional(ge(0)),
        metadata=meaning(
            "With less free space in the file system publishers are blocked; if not"
            " given 5 % of it, within two segments and 1 GiB. 0: only when nothing can"
            " be written any more."
        ),
    )
    segment_bytes: int = field(
        default=SEGMENT_SIZE,
        validator=and_(ge(1 << 20), le(1 << 30)),
        metadata=meaning(
            "Size of a file of the journal: space is given back in such pieces."
        ),
    )
    reserve_bytes: int = field(
        default=RESERVE_SIZE,
        validator=ge(0),
        metadata=meaning(
            "Space that is kept so that acks can be written when the disk is full. 0:"
            " none."
        ),
    )


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
