"""What `serve` is told about itself: TLS by files, the log's form, and how many workers there are."""

from __future__ import annotations

import json
import ssl
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.server


def certificate(folder: Path, name: str) -> None:
    """Write NAME.pem and NAME.key: a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def configured(folder: Any, **settings: str) -> None:
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    (folder.path / "bespeak.toml").write_text(f"[server]\n{text}")


def test_more_workers_than_one_are_refused_with_the_reason(folder: Any) -> None:
    said = folder.run("serve", "--workers", "4", code=2).stderr
    assert "--workers 4: expected 1" in said
    assert "One process owns a store" in said


def test_with_a_certificate_it_speaks_https_and_commands_beside_it_trust_exactly_that(folder: Any) -> None:
    certificate(folder.path, "site")
    configured(folder, tls_certificate="site.pem", tls_key="site.key")
    folder.serve()
    assert folder.address.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(folder.path / "site.pem"))
    trusting.check_hostname = False
    with urllib.request.urlopen(folder.address + "/health", context=trusting, timeout=10) as answer:
        assert json.loads(answer.read())["status"] == "ok"
    assert folder.json("keys", "list") == []
    local = json.loads((folder.path / ".bespeak" / "server.json").read_text())
    certificate(folder.path, "other")
    local["certificate"] = str(folder.path / "other.pem")
    (folder.path / ".bespeak" / "server.json").write_text(json.dumps(local))
    assert "CERTIFICATE_VERIFY_FAILED" in folder.run("keys", "list", code=1).stderr


@pytest.mark.parametrize(
    "given,said",
    [
        ({"tls_certificate": "site.pem"}, "server.tls_key is missing"),
        ({"tls_key": "site.key"}, "server.tls_certificate is missing"),
        ({"tls_certificate": "none.pem", "tls_key": "site.key"}, "none.pem cannot be read"),
        ({"tls_certificate": "site.pem", "tls_key": "other.key"}, "expected a certificate and its own key"),
        ({"tls_certificate": "site.key", "tls_key": "site.key"}, "expected a certificate and its own key"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_before_anything_is_opened(
    folder: Any, given: dict[str, str], said: str
) -> None:
    certificate(folder.path, "site")
    certificate(folder.path, "other")
    configured(folder, **given)
    assert said in folder.run("serve", "--port", "0", code=2).stderr
    assert not (folder.path / ".bespeak").exists()


def test_under_json_every_line_of_the_log_is_an_object(folder: Any) -> None:
    configured(folder, log_format="json", access_log=True)  # type: ignore[arg-type]
    folder.serve()
    request = urllib.request.Request(folder.address + "/health", headers={"X-Request-Id": "probe-1"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["x-request-id"] == "probe-1"
    code, said = folder.stop()
    assert code == 0
    found = [json.loads(line) for line in said.splitlines()]
    assert [(line["logger"], line["request_id"]) for line in found] == [("bespeak.server.access", "probe-1")]
