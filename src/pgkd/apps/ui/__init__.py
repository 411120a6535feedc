"""`pgkd ui`: the web UI, to compare and watch runs, review their texts and start new ones.

It shows the files of runs and does nothing that the command line does not: it writes signals and
decisions where the loop reads them, and starts the same commands.

`app.py` keeps strangers out and has the routes, `views.py` their endpoints; `runs.py` reads runs,
`queue.py` sorts the texts to review, `review.py` takes decisions on them, and `starting.py` makes
settings of a dropped file and starts commands.
"""

from __future__ import annotations

import contextlib
import getpass
import ipaddress
import os
import secrets
import socket
import sys
from pathlib import Path

from pgkd.apps.server.process import Limits, bind, listen, run_app, url
from pgkd.errors import ConfigError
from pgkd.extras import require

__all__ = ["open_ui"]

_LIMITS = Limits(
    body_bytes=64 << 20,  # a dropped file of rows
    body_seconds=120.0,
    shutdown_seconds=2,
)


def open_ui(path: Path, *, host: str = "127.0.0.1", port: int = 0, who: str = "") -> None:
    """Show runs until SIGTERM or SIGINT, to whoever has the printed URL.

    Args:
        path: a run folder, or a folder of runs.
        host: a loopback address: the web UI is for the user of this machine alone.
        port: to listen on; 0 takes a free one.
        who: the name that decisions are recorded under; default: the system user's.

    Raises:
        ConfigError: the address is not loopback, or the server cannot listen on it.
        MissingExtraError: the extra ``ui`` is not installed.
        RunError: there is no such folder.
    """
    for module in ("uvicorn", "httptools", "fastapi"):
        require(module, extra="ui", job="The web UI")
    from pgkd.apps.ui.app import make_app

    _check_loopback(host)
    with contextlib.closing(bind(host, port)) as listener:
        number = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = make_app(path, token, _allowed_hosts(host, number), who or _user_name(), _LIMITS)
        listen(listener)
        print(
            f"The web UI is open at {url(host, number)}/?token={token}\n"
            "Keep this URL secret: whoever has it can do here what you can. Ctrl-C closes the web "
            "UI; runs continue.",
            file=sys.stderr,
            flush=True,
        )
        run_app(app, listener, _LIMITS)


def _check_loopback(host: str) -> None:
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"Unknown host {host!r}: {error}") from error
    if not all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found):
        raise ConfigError(
            f"The web UI listens on loopback only, and other machines can reach {host}. To use it "
            "from another machine, open a tunnel: ssh -L 8900:127.0.0.1:8900 MACHINE"
        )


def _allowed_hosts(host: str, port: int) -> tuple[str, ...]:
    """The Host headers that browsers send for the web UI's URL."""
    names = dict.fromkeys((host.lower(), "127.0.0.1", "localhost", "::1"))
    return tuple(url(name, port).removeprefix("http://") for name in names)


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "somebody"
