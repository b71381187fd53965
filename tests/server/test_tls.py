"""TLS settings: refuse to start rather than check nobody."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

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


def test_common_name_is_found_or_not() -> None:
    subject = ((("countryName", "AT"),), (("commonName", "alice"),))
    assert common_name({"subject": subject}) == "alice"
    assert common_name({"subject": subject[:1]}) is None
    assert common_name({}) is None
    assert common_name(None) is None
