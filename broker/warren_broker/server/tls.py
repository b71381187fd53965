"""TLS: the server's context, and who the peer has proven to be."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Final

from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.server.settings import TlsSettings

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context for all TLS listeners. Raises SettingsError.

    With `client_ca` a client without a good certificate is refused, and a missing or
    empty file refuses to start: never a listener that quietly checks nobody.
    """
    if settings.certificate is None:
        raise SettingsError("tls.certificate: needed to listen for TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(
            settings.certificate, settings.key, partial(_refuse_passphrase, settings)
        )
    except OSError as error:
        raise SettingsError(f"tls.certificate, tls.key: {error}") from error
    if settings.client_ca is not None:
        _require_client_certificate(context, settings.client_ca)
    return context


def _refuse_passphrase(settings: TlsSettings) -> str:
    """Stand where OpenSSL would ask on the terminal, and wait for an answer."""
    path = settings.key or settings.certificate
    raise SettingsError(f"tls.key: {path}: it must not need a passphrase")


def _require_client_certificate(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise SettingsError(f"tls.client_ca: {path}: {error}") from error
    context.verify_mode = ssl.CERT_REQUIRED


def common_name(certificate: Mapping[str, object] | None) -> str | None:
    """Return the subject's common name of what `getpeercert` returned, if any."""
    subject = (certificate or {}).get("subject", ())
    if not isinstance(subject, tuple):
        return None
    for relative_name in subject:
        for key, value in relative_name:
            if key == "commonName":
                return str(value)
    return None
