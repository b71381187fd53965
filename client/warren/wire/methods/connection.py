"""Class connection (10): one connection's life. Specification, section 1.4.

`blocked`, `unblocked` and `update-secret` are RabbitMQ's.
"""

from dataclasses import field

from warren.wire.fields import (
    Arguments,
    Bit,
    Long,
    LongStr,
    Octet,
    Short,
    ShortStr,
)
from warren.wire.methods.base import Method, Side


class ConnectionStart(Method, index=(10, 10), by=Side.SERVER):
    """Propose versions and mechanisms; lists are separated by spaces."""

    version_major: Octet = 0
    version_minor: Octet = 9
    server_properties: Arguments = field(default_factory=dict)
    mechanisms: LongStr = b"PLAIN"
    locales: LongStr = b"en_US"


class ConnectionStartOk(Method, index=(10, 11), by=Side.CLIENT):
    """Choose a mechanism and log in."""

    client_properties: Arguments = field(default_factory=dict)
    mechanism: ShortStr = "PLAIN"
    response: LongStr = b""
    locale: ShortStr = "en_US"


class ConnectionSecure(Method, index=(10, 20), by=Side.SERVER):
    """Challenge the client, for mechanisms that do."""

    challenge: LongStr = b""


class ConnectionSecureOk(Method, index=(10, 21), by=Side.CLIENT):
    """Answer the challenge."""

    response: LongStr = b""


class ConnectionTune(Method, index=(10, 30), by=Side.SERVER):
    """Propose limits; 0 is no limit. The heartbeat is in seconds."""

    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionTuneOk(Method, index=(10, 31), by=Side.CLIENT):
    """Settle the limits, at most those proposed."""

    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


class ConnectionOpen(Method, index=(10, 40), by=Side.CLIENT):
    """Enter a virtual host."""

    virtual_host: ShortStr = "/"
    reserved_1: ShortStr = ""
    reserved_2: Bit = False


class ConnectionOpenOk(Method, index=(10, 41), by=Side.SERVER):
    """The connection is ready for use."""

    reserved_1: ShortStr = ""


class ConnectionClose(Method, index=(10, 50), by=Side.EITHER):
    """End the connection; with 0 and 0 if no method was at fault."""

    reply_code: Short = 0
    reply_text: ShortStr = ""
    failing_class_id: Short = 0
    failing_method_id: Short = 0


class ConnectionCloseOk(Method, index=(10, 51), by=Side.EITHER):
    """The connection has ended."""


class ConnectionBlocked(Method, index=(10, 60), by=Side.SERVER):
    """Publishing is halted: the broker is short of something."""

    reason: ShortStr = ""


class ConnectionUnblocked(Method, index=(10, 61), by=Side.SERVER):
    """Publishing goes on."""


class ConnectionUpdateSecret(Method, index=(10, 70), by=Side.CLIENT):
    """Replace the secret that the connection was opened with."""

    new_secret: LongStr = b""
    reason: ShortStr = ""


class ConnectionUpdateSecretOk(Method, index=(10, 71), by=Side.SERVER):
    """The new secret holds."""
