"""How a command beside a running server proves that it may: a token for those who can read the data directory.

The server writes `server.json` (mode 0600) into its data directory and takes it away when it stops; the token is new
at each start, so a file left behind by a crash opens nothing.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

FILE_NAME = "server.json"


class LocalServer(msgspec.Struct, frozen=True):
    """Where the server of a data directory answers, and the token that its owner shows it.

    `certificate` is the file of the certificate that it shows; None where it speaks plain HTTP.
    """

    address: str
    token: str
    certificate: str | None = None


def announce(directory: Path, address: str, *, certificate: str | None = None) -> LocalServer:
    """Write the file of a server that is about to answer at `address`; whoever can read it may do everything."""
    stated = None if certificate is None else str(Path(certificate).absolute())
    local = LocalServer(address, secrets.token_urlsafe(32), stated)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = directory / f".{FILE_NAME}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(local))
    temporary.replace(directory / FILE_NAME)
    return local


def withdraw(directory: Path, local: LocalServer) -> None:
    """Take the file away, unless another server has written its own since."""
    if read_local(directory) == local:
        (directory / FILE_NAME).unlink(missing_ok=True)


def read_local(directory: Path) -> LocalServer | None:
    """Return what a server announced in this directory; None when there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=LocalServer)
    except (OSError, msgspec.DecodeError):
        return None
