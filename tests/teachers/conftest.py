"""What the tests of teachers share: no setting of this machine, no host but loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OF_PROVIDERS = ("AWS_", "ANTHROPIC_", "OPENAI_", "BOTO_")


@pytest.fixture(autouse=True)
def nobodys_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's keys and profiles are not there, nor is the metadata service of a cloud."""
    for name in list(os.environ):
        if name.startswith(_OF_PROVIDERS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to another host fails the test, whatever the code does with the error."""
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] != "127.0.0.1":
            pytest.fail(f"something connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture(scope="session")
def certificate_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a PEM file of a key and its own certificate, for a ``DNS:...`` or an ``IP:...``."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")

    def make(name: str) -> Path:
        pem = tmp_path_factory.mktemp("tls") / "both.pem"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=pgkd-test", "-addext", f"subjectAltName={name}",
             "-keyout", str(pem), "-out", str(pem.with_name("certificate.pem"))],
            check=True, capture_output=True,
        )  # fmt: skip
        pem.write_text(pem.read_text() + pem.with_name("certificate.pem").read_text())
        return pem

    return make


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes every SDK trust a certificate."""

    def trusted(pem: Path) -> None:
        for variable in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
            monkeypatch.setenv(variable, str(pem.with_name("certificate.pem")))

    return trusted
