"""HTTPS from two files, checked before anything is opened; and the trust of a command in the server beside it."""

from __future__ import annotations

import ssl
from pathlib import Path

from bespeak.errors import SettingsError
from bespeak.settings import ServerSettings


def server_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """Return what the server speaks TLS with (1.2 or newer); None where the settings name no certificate.

    Raises
    ------
    SettingsError
        A file cannot be read, is not PEM, or the key is not that of the certificate.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    for name, place in (("tls_certificate", settings.tls_certificate), ("tls_key", settings.tls_key)):
        try:
            with Path(place).open("rb"):
                pass
        except OSError as error:
            raise SettingsError(f"server.{name}: {place} cannot be read: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except ssl.SSLError as error:
        raise SettingsError(
            f"server.tls_certificate, server.tls_key: expected a certificate and its own key, both in PEM, in"
            f" {settings.tls_certificate} and {settings.tls_key}: {error.reason or error}"
        ) from None
    return context


def local_context(certificate: str) -> ssl.SSLContext:
    """Return what a command speaks with to the server of its own data directory: exactly that certificate is trusted.

    Its names do not matter, since the server is asked at the loopback address.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context
