"""The desk: the process that asks the teacher for all workers, within one budget.

A question is a line of JSON: a text, and until when on the machine's monotonic clock its answer is
waited for. The answer is a line with the label and the confidence, both null where the teacher gave
none. Calls are made by the accounted teacher of a run, so each is in
the ledger before it leaves, and a text that was asked before is not paid again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgkd.apps.server.workers import CANNOT_START, end_with_parent
from pgkd.errors import BudgetExhaustedError, ConfigError, PgkdError
from pgkd.files import held
from pgkd.tasks.classification.prompts.labelling import Labelled, label_texts
from pgkd.teachers import teacher_from
from pgkd.text import printable
from pgkd.usage import metered_teacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.retry import Breaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgkd.apps.server.cascade import Cascade
    from pgkd.teachers.base import Teacher

_LINE_BYTES = 1 << 26  # more than any body that a worker takes
_REST_SECONDS = 30.0  # a teacher that is down is left alone, then tried with one text
_QUIET_SECONDS = 60.0  # between two lines in the log

_log = logging.getLogger(__name__)


def run_desk(cascade: Cascade, socket: Path) -> None:
    """Answer the workers until SIGTERM: the life of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the workers, who still ask
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    try:
        with metered(cascade) as teacher:
            end_with_parent()
            asyncio.run(Desk(teacher, cascade).serve(socket))
    except PgkdError as error:
        print(f"pgkd: {printable(str(error))}", file=sys.stderr)
        sys.exit(CANNOT_START)


@contextmanager
def metered(cascade: Cascade) -> Iterator[Teacher]:
    """The metered teacher of the cascade, which no other process uses meanwhile.

    Raises:
        ConfigError: another process has the ledger, or calls are billed and there is no budget.
        RunError: the ledger cannot be opened.
    """
    lock = cascade.ledger.with_name(f"{cascade.ledger.name}.lock")
    taken = ConfigError(
        f"Another server uses the ledger {cascade.ledger}: give this one its own (--ledger)."
    )
    # No batches, whose answers take a day, and no retry that nobody waits for.
    how = cascade.config.teacher.model_copy(update={"batch": False, "longest": cascade.seconds})
    config = cascade.config.model_copy(update={"teacher": how})
    with held(lock, taken), Ledger(cascade.ledger) as ledger, teacher_from(config) as teacher:
        limits = config.budget
        if teacher.biller and limits.usd is None and limits.tokens is None and limits.calls is None:
            raise ConfigError(
                f"Calls to {teacher.name} are billed, and this cascade has no budget: give "
                "--budget-usd, --budget-tokens or --budget-calls."
            )
        ledger.abandon()
        yield metered_teacher(config, teacher, ledger, breaker=Breaker(cooldown=_REST_SECONDS))


class Desk:
    """Answers questions by the teacher, as many at once as it takes.

    Args:
        teacher: who is asked.
        cascade: the classes, and the seed.
    """

    def __init__(self, teacher: Teacher, cascade: Cascade) -> None:
        self._teacher = teacher
        self._taxonomy = cascade.taxonomy
        self._seed = cascade.config.seed
        self._pool = ThreadPoolExecutor(teacher.concurrency, thread_name_prefix="desk")
        self._told = -_QUIET_SECONDS

    async def serve(self, socket: Path) -> None:
        """Answer whoever connects, for ever."""
        server = await asyncio.start_unix_server(self._answer, socket, limit=_LINE_BYTES)
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            text, until = json.loads(await reader.readline())
            found = await loop.run_in_executor(self._pool, self._ask, text, until)
            writer.write(json.dumps([found.label, found.confidence]).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):  # the worker has gone
            pass
        finally:
            writer.close()

    def _ask(self, text: str, until: float) -> Labelled:
        """The teacher's answer; none where nobody waits for it any more, or it cannot be had."""
        if time.monotonic() >= until:
            return Labelled(None)
        try:
            return label_texts(self._teacher, [text], self._taxonomy, seed=self._seed)[0]
        except PgkdError as error:
            self._tell(error)
            return Labelled(None)

    def _tell(self, error: PgkdError) -> None:
        """Say in the log why the student answers alone, once in a while."""
        now = time.monotonic()
        if now - self._told >= _QUIET_SECONDS:
            self._told = now
            spent = isinstance(error, BudgetExhaustedError)
            _log.warning("%s %s", "The cascade rests:" if spent else "The teacher failed:", error)
