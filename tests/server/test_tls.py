"""TLS settings: refuse to start rather than check nobody."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from warren_broker.server.settings import SettingsError, TlsSettings
from warren_broker.server.tls import common_name, server_context

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """A PEM file with a key and its certificate."""
    path = tmp_path / "server.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


def test_nothing_older_than_1_2(certificate: str) -> None:
    context = server_context(TlsSettings(certificate=certificate))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    newer = TlsSettings(certificate=certificate, minimum_version="1.3")
    assert server_context(newer).minimum_version is ssl.TLSVersion.TLSv1_3


def test_a_client_authority_makes_certificates_required(
    certificate: str, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    settings = TlsSettings(certificate=certificate, client_ca=str(path))
    assert server_context(settings).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, "", "not PEM"])
def test_a_bad_client_authority_refuses_to_start(
    certificate: str, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    settings = TlsSettings(certificate=certificate, client_ca=str(path))
    with pytest.raises(SettingsError, match=r"tls\.client_ca"):
        server_context(settings)


@pytest.mark.parametrize("path", [None, "/no/such/file"])
def test_a_missing_certificate_refuses_to_start(path: str | None) -> None:
    with pytest.raises(SettingsError, match=r"tls\.certificate"):
        server_context(TlsSettings(certificate=path))


@pytest.mark.parametrize("is_apart", [True, False])
def test_a_key_with_a_passphrase_refuses_to_start_and_asks_nobody(
    tmp_path: Path, is_apart: bool
) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    chain = issued.cert_chain_pems[0].bytes()
    certificate, key_path = tmp_path / "server.pem", tmp_path / "key.pem"
    certificate.write_bytes(chain if is_apart else key + chain)
    key_path.write_bytes(key)
    settings = TlsSettings(
        certificate=str(certificate), key=str(key_path) if is_apart else None
    )
    path = key_path if is_apart else certificate
    with pytest.raises(SettingsError, match=rf"tls\.key: {path}: .* passphrase"):
        server_context(settings)


def test_common_name_is_found_or_not() -> None:
    subject = ((("countryName", "AT"),), (("commonName", "alice"),))
    assert common_name({"subject": subject}) == "alice"
    assert common_name({"subject": subject[:1]}) is None
    assert common_name({}) is None
    assert common_name(None) is None
