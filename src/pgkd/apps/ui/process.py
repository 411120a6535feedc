"""the web UI from its command to its end."""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import os
import secrets
import socket
import sys
from typing import TYPE_CHECKING

from pgkd.errors import ConfigError
from pgkd.extras import require

if TYPE_CHECKING:
    from pathlib import Path

_EXTRA, _JOB = "ui", "the web UI"
_BODY_BYTES = 64 << 20  # a dropped file of rows
_BODY_SECONDS = 120.0


def open_ui(path: Path, *, host: str = "127.0.0.1", port: int = 0, who: str = "") -> None:
    """Show runs until SIGTERM or SIGINT; who has the printed address can use the web UI.

    Args:
        path: a run folder, or a folder of runs.
        host: a loopback address: what the web UI shows and does is for this machine's user alone.
        port: to listen at; 0 takes a free one.
        who: the name that decisions are written down with; default: of the user.

    Raises:
        ConfigError: the address is not loopback, or cannot be listened at.
        MissingExtraError: the extra ``ui`` is not installed.
        RunError: there is no such folder.
    """
    for module in ("uvicorn", "httptools", "fastapi"):
        require(module, extra=_EXTRA, job=_JOB)
    from pgkd.apps.server.limits import Limits
    from pgkd.apps.server.process import answer, bound, listen
    from pgkd.apps.ui.app import make_app

    check_loopback(host)
    limits = Limits(body_bytes=_BODY_BYTES, body_seconds=_BODY_SECONDS, shutdown_seconds=2)
    with contextlib.closing(bound(host, port)) as listener:
        number = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = make_app(path, token, hosts_of(host, number), who or user_name(), limits)
        listen(listener)
        where = f"[{host}]" if ":" in host else host
        print(
            f"the web UI is open at http://{where}:{number}/?token={token}\n"
            "Keep the address to yourself: who has it can do here what you can. Ctrl-C closes "
            "the web UI; runs go on.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        answer(app, listener, limits)


def check_loopback(host: str) -> None:
    """See that nobody beyond this machine can reach an address.

    Raises:
        ConfigError: somebody could.
    """
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"There is no address {host!r}: {error}") from error
    if not all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found):
        raise ConfigError(
            f"the web UI listens on loopback only, and {host} can be reached by others. From "
            "another machine use a tunnel: ssh -L 8900:127.0.0.1:8900 MACHINE"
        )


def hosts_of(host: str, port: int) -> tuple[str, ...]:
    """The Host headers that a browser sends which was given the web UI's address."""
    names = dict.fromkeys((host.lower(), "127.0.0.1", "localhost", "::1"))
    return tuple(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names)


def user_name() -> str:
    """The name of who runs the web UI, as this machine has it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "somebody"
