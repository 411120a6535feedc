"""A cascade: texts that the student is unsure of go to the teacher, and delay no others.

One process, the *teacher proxy*, calls the teacher for all workers, so that one budget and one
ledger hold whatever their number, and a local teacher is in memory once. Workers connect to it
through a Unix socket in a folder that only their user may enter. A request is a line of JSON with a
text and a deadline on the machine's monotonic clock. The response is a line with the label and the
confidence, both null if the teacher gave none. If the proxy is busy, slow, out of budget or gone,
the student's own answer is used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgkd.apps.server.workers import CANNOT_START, end_with_parent
from pgkd.config import Config
from pgkd.errors import BudgetExhaustedError, ConfigError, PgkdError
from pgkd.export.predictor import Manifest, find_export
from pgkd.files import held
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.data.examples import Taxonomy, read_taxonomy
from pgkd.tasks.classification.prompts.labelling import Labelled, label_texts
from pgkd.teachers import teacher_from
from pgkd.teachers.base import Teacher
from pgkd.text import printable
from pgkd.usage import metered_teacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.retry import Breaker

Outcome = Literal["answered", "busy", "slow", "refused", "unreachable"]
"""`refused`: the answer is no class, the call failed, or the budget is spent."""

_LINE_BYTES = 1 << 26  # more than any body that a worker accepts
_COOLDOWN_SECONDS = 30.0  # after failures; then one text tries the teacher again
_LOG_SECONDS = 60.0  # between two warnings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cascade:
    """When the teacher is called, and how.

    Attributes:
        below: texts whose most probable class is less probable than this go to the teacher.
        config: its ``teacher``, ``budget`` and seed are used.
        ledger: SQLite file of the calls, with their texts; the budget covers all calls in it.
        taxonomy: the classes that the teacher is given.
        seconds: maximum time that a text waits for the teacher.
        at_once: maximum number of texts of one worker that wait for the teacher.
    """

    below: float
    config: Config
    ledger: Path
    taxonomy: Taxonomy
    seconds: float = 10.0
    at_once: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise ConfigError("The threshold of a cascade must be above 0 and at most 1.")
        if not self.seconds > 0 or not self.at_once > 0:
            raise ConfigError("A cascade needs a waiting time and a number of texts above 0.")
        if not hasattr(asyncio, "open_unix_connection"):
            raise ConfigError("A cascade needs Unix sockets, which this system does not have.")

    def check_classes(self, classes: Sequence[str]) -> None:
        """Check that the teacher is given the student's classes.

        Raises:
            ConfigError: it is given others.
        """
        differing = sorted(set(classes) ^ set(self.taxonomy.names))
        if differing:
            raise ConfigError(
                f"The classes of the cascade and of the student differ: only one of them has "
                f"'{differing[0]}'. Give a --config whose data.classes lists the classes of this "
                "export."
            )


def make_cascade(
    path: Path, below: float, config: Config, *, ledger: Path | None = None, **how: Any
) -> Cascade:
    """The cascade behind an export.

    Args:
        path: an export, or a run folder, which has the classes and a default path for the ledger.
        below: texts whose most probable class is less probable than this go to the teacher.
        config: the teacher, the budget, and the classes if `path` is not a run.
        ledger: SQLite file of the calls; default: ``cascade.sqlite`` of the run.
        how: `seconds` and `at_once` of `Cascade`.

    Raises:
        ConfigError: there is no path for the ledger, or a number is out of bounds.
    """
    is_run = (path / "config.yaml").exists()
    if ledger is None:
        if not is_run:
            raise ConfigError(
                f"{path} is not a run folder: give a file for the calls of the cascade (--ledger). "
                "It will contain the texts that are sent to the teacher."
            )
        ledger = path / "cascade.sqlite"
    if is_run:
        taxonomy = RunFolder.open(path).dataset().taxonomy
    elif config.data.classes:
        taxonomy = read_taxonomy(config.data.classes)
    else:
        taxonomy = Taxonomy.from_names(Manifest.read(find_export(path)).details["classes"])
    return Cascade(below, config, ledger, taxonomy, **how)


@dataclass(frozen=True, slots=True)
class TeacherAnswer:
    """The teacher's class for a text, and its confidence if it gave one."""

    label: str
    confidence: float | None


class ProxyClient:
    """A worker's connection to the teacher proxy that listens at `socket`.

    Attributes:
        below: texts whose most probable class is less probable than this are for the teacher.
    """

    def __init__(self, socket: Path, cascade: Cascade) -> None:
        self.below = cascade.below
        self._socket = socket
        self._classes = frozenset(cascade.taxonomy.names)
        self._seconds = cascade.seconds
        self._at_once = cascade.at_once
        self._waiting = 0

    async def ask(self, text: str) -> tuple[Outcome, TeacherAnswer | None]:
        """The outcome, and the teacher's opinion if it is ``answered``."""
        if self._waiting >= self._at_once:
            return "busy", None
        self._waiting += 1
        deadline = time.monotonic() + self._seconds
        try:
            async with asyncio.timeout(self._seconds):
                opinion = await self._request(text, deadline)
        except TimeoutError:
            return "slow", None
        except (OSError, ValueError):  # there is no proxy, or it ended meanwhile
            return "unreachable", None
        finally:
            self._waiting -= 1
        return ("answered", opinion) if opinion else ("refused", None)

    async def _request(self, text: str, deadline: float) -> TeacherAnswer | None:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(json.dumps([text, deadline], ensure_ascii=False).encode() + b"\n")
            label, confidence = json.loads(await reader.readline())
        finally:
            writer.close()
        return TeacherAnswer(label, confidence) if label in self._classes else None


@contextmanager
def metered(cascade: Cascade) -> Iterator[Teacher]:
    """The metered teacher of the cascade, with its ledger locked against other processes.

    Raises:
        ConfigError: another process uses the ledger, or calls are billed and there is no budget.
        RunError: the ledger cannot be opened.
    """
    lock = cascade.ledger.with_name(f"{cascade.ledger.name}.lock")
    in_use = ConfigError(
        f"Another server uses the ledger {cascade.ledger}: give this one its own (--ledger)."
    )
    # No batches, whose answers take a day, and no retries after the text has stopped waiting.
    how = cascade.config.teacher.model_copy(update={"batch": False, "longest": cascade.seconds})
    config = cascade.config.model_copy(update={"teacher": how})
    budget = config.budget
    with held(lock, in_use), Ledger(cascade.ledger) as ledger, teacher_from(config) as teacher:
        if teacher.biller and budget.usd is None and budget.tokens is None and budget.calls is None:
            raise ConfigError(
                f"Calls to {teacher.name} are billed, and this cascade has no budget: give "
                "--budget-usd, --budget-tokens or --budget-calls."
            )
        ledger.abandon()
        yield metered_teacher(config, teacher, ledger, breaker=Breaker(cooldown=_COOLDOWN_SECONDS))


def run_proxy(cascade: Cascade, socket: Path) -> None:
    """The main function of the proxy's process: serve the workers until SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the workers, which still need it
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    try:
        with metered(cascade) as teacher:
            end_with_parent()
            asyncio.run(TeacherProxy(teacher, cascade).serve(socket))
    except PgkdError as error:
        print(f"pgkd: {printable(str(error))}", file=sys.stderr)
        sys.exit(CANNOT_START)


class TeacherProxy:
    """Passes texts on to the teacher, as many at once as it allows."""

    def __init__(self, teacher: Teacher, cascade: Cascade) -> None:
        self._teacher = teacher
        self._taxonomy = cascade.taxonomy
        self._seed = cascade.config.seed
        self._executor = ThreadPoolExecutor(teacher.concurrency, thread_name_prefix="proxy")
        self._last_warning = -_LOG_SECONDS

    async def serve(self, socket: Path) -> None:
        """Serve every client, until it is cancelled."""
        server = await asyncio.start_unix_server(self._serve_one, socket, limit=_LINE_BYTES)
        async with server:
            await server.serve_forever()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            text, deadline = json.loads(await reader.readline())
            found = await loop.run_in_executor(self._executor, self._label, text, deadline)
            writer.write(json.dumps([found.label, found.confidence]).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):  # the worker has gone
            pass
        finally:
            writer.close()

    def _label(self, text: str, deadline: float) -> Labelled:
        """The teacher's answer; none after the deadline, or if the call fails."""
        if time.monotonic() >= deadline:
            return Labelled(None)
        try:
            return label_texts(self._teacher, [text], self._taxonomy, seed=self._seed)[0]
        except PgkdError as error:
            self._warn(error)
            return Labelled(None)

    def _warn(self, error: PgkdError) -> None:
        """Log why the student answers alone, at most once a minute."""
        now = time.monotonic()
        if now - self._last_warning >= _LOG_SECONDS:
            self._last_warning = now
            spent = isinstance(error, BudgetExhaustedError)
            _log.warning("%s %s", "Cascade paused:" if spent else "The teacher failed:", error)
