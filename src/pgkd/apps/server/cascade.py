"""A cascade: what the student is unsure of goes to the teacher, and waits for it alone.

The teacher is asked by one process for all workers, the *desk* (`desk.py`), so that one budget and
one ledger hold whatever the number of workers, and a local teacher is in memory once. Workers reach
it through a socket in a folder that only their user may enter. A worker never depends on it: where
the desk is busy, slow, out of budget or gone, the student's own answer is given.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.config import Config
    from pgkd.tasks.classification.data.examples import Taxonomy

Outcome = Literal["answered", "busy", "slow", "refused", "unreachable"]
"""What came of a question: `refused` is no answer of the list, a failure or a spent budget."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """When the teacher is asked, and how.

    Attributes:
        below: texts whose most probable class is less probable than this go to the teacher.
        config: of it the sections ``teacher`` and ``budget``, and the seed.
        ledger: SQLite file of the calls; the budget is for all that stand in it. It holds the texts
            that were asked about.
        taxonomy: the classes, as the teacher is told them.
        seconds: that a text waits for the teacher at most.
        at_once: texts of one worker that may wait for the teacher.
    """

    below: float
    config: Config
    ledger: Path
    taxonomy: Taxonomy
    seconds: float = 10.0
    at_once: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise ConfigError("The threshold of a cascade has to be above 0 and at most 1.")
        if not self.seconds > 0 or not self.at_once > 0:
            raise ConfigError("A cascade needs time to wait, and room for a text at least.")
        if not hasattr(asyncio, "open_unix_connection"):
            raise ConfigError("A cascade needs Unix sockets, which this system lacks.")

    def check_classes(self, classes: Sequence[str]) -> None:
        """See that the teacher is told the classes of the student.

        Raises:
            ConfigError: it is not.
        """
        differing = sorted(set(classes) ^ set(self.taxonomy.names))
        if differing:
            raise ConfigError(
                f"The cascade's class list is not the student's: '{differing[0]}' is in one of "
                "them alone. Give a --config whose data.classes lists the classes of this export."
            )


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the teacher says of a text.

    Attributes:
        label: one of the classes.
        confidence: as far as the teacher tells it.
    """

    label: str
    confidence: float | None


class DeskClient:
    """The desk as a worker sees it.

    Args:
        socket: where it listens.
        cascade: when it is asked, how long it is waited for, and by how many texts.

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

    async def ask(self, text: str) -> tuple[Outcome, Opinion | None]:
        """What came of it, and what the teacher says; it says nothing but for ``answered``."""
        if self._waiting >= self._at_once:
            return "busy", None
        self._waiting += 1
        until = time.monotonic() + self._seconds
        try:
            async with asyncio.timeout(self._seconds):
                opinion = await self._asked(text, until)
        except TimeoutError:
            return "slow", None
        except (OSError, ValueError):  # there is no desk, or it ended in between
            return "unreachable", None
        finally:
            self._waiting -= 1
        return ("answered", opinion) if opinion else ("refused", None)

    async def _asked(self, text: str, until: float) -> Opinion | None:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(json.dumps([text, until], ensure_ascii=False).encode() + b"\n")
            label, confidence = json.loads(await reader.readline())
        finally:
            writer.close()
        return Opinion(label, confidence) if label in self._classes else None


def cascade_of(
    path: Path,
    below: float,
    config: Config,
    *,
    ledger: Path | None = None,
    **how: Any,
) -> Cascade:
    """The cascade behind an export.

    Args:
        path: an export, or a run folder, whose class list and place for a ledger are taken.
        below: texts whose most probable class is less probable than this go to the teacher.
        config: the teacher, the budget, and where the export is in no run, the class list.
        ledger: SQLite file of the calls; default: ``cascade.sqlite`` of the run.
        how: `seconds` and `at_once` of `Cascade`.

    Raises:
        ConfigError: there is no place for a ledger, or a figure is out of bounds.
    """
    from pgkd.export.predictor import Manifest, find_export
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.examples import Taxonomy, read_taxonomy

    is_run = (path / "config.yaml").exists()
    if ledger is None:
        if not is_run:
            raise ConfigError(
                f"{path} is no run folder: say where to keep the calls of the cascade (--ledger). "
                "The file will hold the texts that were asked about."
            )
        ledger = path / "cascade.sqlite"
    if is_run:
        taxonomy = RunFolder.open(path).dataset().taxonomy
    elif config.data.classes:
        taxonomy = read_taxonomy(config.data.classes)
    else:
        taxonomy = Taxonomy.from_names(Manifest.read(find_export(path)).classes)
    return Cascade(below, config, ledger, taxonomy, **how)
