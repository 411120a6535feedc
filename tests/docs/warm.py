"""A process that has imported everything, and forks one child for every command of a page.

A command then starts in a moment instead of seconds. In the children, as in the tests themselves,
the local teacher and the default encoder have stand-ins that need no weights.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

_MODULES = (
    "cleanlab", "matplotlib.figure", "onnx", "onnxruntime", "scipy.optimize", "sklearn.manifold",
    "sklearn.linear_model", "sklearn.feature_extraction.text", "torch", "transformers",
    "pgkd.apps.bulk", "pgkd.apps.cli.distill", "pgkd.apps.report", "pgkd.export.export",
    "pgkd.runs", "pgkd.tasks.classification.evaluation",
    "pgkd.tasks.classification.students.encoder",
    "pgkd.tasks.classification.students.linear",
)  # fmt: skip


def stand_in(encoder: Path, put: Callable[[Any, str, Any], object] = setattr) -> None:
    """The fake teacher answers for the local one, a folder stands for all default weights.

    Fine-tuning takes a third of its time.

    Args:
        encoder: the folder.
        put: sets an attribute; that of pytest's monkeypatch takes it back later.
    """
    from pgkd import teachers, weights
    from pgkd.encoders import origin, training
    from pgkd.tasks.classification.students import encoder as student
    from pgkd.teachers.fake import FakeTeacher

    default, ensure, cached = weights.DEFAULT_STUDENT, weights.ensure, weights.cached
    put(teachers, "_OWN", {**teachers._OWN, "local": FakeTeacher})
    put(origin, "ensure", lambda name: encoder if name == default else ensure(name))
    short = partial(student.fine_tune_classes, recipe=training.FineTuning(epochs=1))
    put(student, "fine_tune_classes", short)
    here = (default, weights.DEFAULT_TEACHER)
    put(weights, "cached", lambda name: encoder if name in here else cached(name))


def main() -> None:
    """Import, then serve until the tests end."""
    address, encoder = sys.argv[1:]
    for name in _MODULES:
        importlib.import_module(name)
    stand_in(Path(encoder))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run(connection)
            connection.close()


def _run(connection: socket.socket) -> NoReturn:
    """Be `pgkd`, for the process at the other end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    asked = json.loads(message)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    connection.send(os.getpid().to_bytes(8, "big"))
    sys.argv = ["pgkd", *asked["arguments"]]
    code = _code()
    sys.stdout.flush()
    connection.send(bytes([code]))
    os._exit(code)


def _code() -> int:
    from pgkd.apps.cli import main as pgkd

    try:
        pgkd()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  (a child of a fork must not return into its parent's code)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
