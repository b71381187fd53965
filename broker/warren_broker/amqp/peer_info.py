"""What a listener knows of a peer before the peer has said anything."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PeerInfo:
    """Where a connection comes from.

    Attributes:
        address: for logs and for the login throttle, such as "127.0.0.1:40812".
        certificate_name: who the client certificate says it is, with TLS.
    """

    address: str
    is_loopback: bool
    tls: bool = False
    certificate_name: str | None = None
