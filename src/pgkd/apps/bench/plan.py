"""The grid of a benchmark: its file, arms, cells and folders.

An arm is a few settings over those of the grid. All else is the same for every arm: the student,
the class list, the weight of texts, curation, the stop rule and the number of texts.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pgkd.config import Config, merge
from pgkd.errors import ConfigError, RunError
from pgkd.files import held, write_whole
from pgkd.runs.files import as_json
from pgkd.runs.resume import differences, flat_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Arm:
    """One way to spend the budget.

    Attributes:
        name: as grids name it.
        what: what it does, in a line.
        source: whose idea it is.
        asks: who answers: the teacher of the cell, or nobody.
        settings: over those of the grid, nested like pgkd.yaml.
        judged: which student is judged on the test rows.
        labels: the teacher alone classifies test rows; nothing is distilled.
        shots: labelled rows that the teacher is shown when it classifies.
        pool: the rows that the run does not have are its pool of unlabelled texts.
    """

    name: str
    what: str
    source: str = "pgkd"
    asks: Literal["teacher", "nobody"] = "teacher"
    settings: Mapping[str, Any] = field(default_factory=dict)
    judged: Literal["best", "last"] = "best"
    labels: bool = False
    shots: int = 0
    pool: bool = False


_NO_STOP: Mapping[str, Any] = {"patience": 10_000}

_ALL = (
    Arm("alone", "the student of the labelled rows", asks="nobody",
        settings={"label_names": False}),
    Arm("label-names", "the student of the labelled rows and, where it helps, the class list",
        source="after SetFit, Tunstall et al., 2022", asks="nobody"),
    Arm("zero-shot", "the teacher classifies test rows", labels=True),
    Arm("few-shot", "the teacher classifies test rows, and is shown 16 labelled ones",
        labels=True, shots=16),
    Arm("even", "the requests of `targeted`, spread evenly and blind to mistakes",
        settings={"guidance": {"allocation": "even"}}),
    Arm("paper", "the paper's one prompt a round", source="Di Palo et al., EMNLP 2024",
        settings={"guidance": {"mode": "paper"}}),
    Arm("targeted", "pgkd's default"),
    Arm("no-early-stopping", "`targeted`, all rounds, and the last student",
        settings=_NO_STOP, judged="last"),
    Arm("pool-random", "the teacher labels texts of a pool, drawn at random", pool=True,
        settings={**_NO_STOP, "pool": {"share": 1.0, "choice": "random"}}, judged="last"),
    Arm("pool-guided", "the teacher labels texts of a pool that pgkd chooses", pool=True,
        source="after Bae et al., ICLR 2025", judged="last",
        settings={**_NO_STOP, "pool": {"share": 1.0, "choice": "guided"}}),
    Arm("pool-auto", "texts or labels of a pool, by which helped more for its cost", pool=True,
        settings=_NO_STOP, judged="last"),
)  # fmt: skip

ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ALL}
"""Every arm by its name. Another one is another line of the list."""


_NAME = r"^[A-Za-z0-9][\w.-]*$"  # a part of a file's name
_KEYS = ("data", "rows", "seed", "arm", "teacher")
_KNOWN = ("oracle", "labeller")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnownTeacher(_Part):
    """A teacher of known quality, which needs no LLM.

    Attributes:
        provider: ``"oracle"`` writes, ``"labeller"`` labels.
        error_share: oracle: share of its texts that are rows of the most similar class.
    """

    provider: Literal["oracle", "labeller"]
    error_share: float = Field(default=0.0, ge=0, le=1)


class Block(_Part):
    """Every combination of these makes a cell."""

    data: tuple[str, ...] = Field(min_length=1)
    rows: tuple[int, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    arms: tuple[str, ...] = Field(min_length=1)
    teachers: tuple[str, ...] = ()
    settings: dict[str, Any] = {}


class Plan(_Part):
    """A benchmark.

    Attributes:
        baselines: arms that every other one is compared with.
        settings: of every run, nested like pgkd.yaml.
        teachers: settings of each teacher by the name that blocks give it: those of the section
            ``teacher`` of pgkd.yaml, or those of `KnownTeacher`.
        label_rows: test rows that a teacher alone is asked for.
        pool_rows: rows of the pool of the arms that have one.
        resamples: of the bootstrap.
        grid: what is run.
    """

    baselines: tuple[str, ...] = ("alone",)
    settings: dict[str, Any] = {}
    teachers: dict[str, dict[str, Any]] = {}
    label_rows: int = Field(default=200, ge=1)
    pool_rows: int = Field(default=4000, ge=1)
    resamples: int = Field(default=1000, ge=1)
    grid: tuple[Block, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark.

    Attributes:
        data: name of the data set.
        rows: labelled rows, of which a part validates.
        seed: of everything random.
        arm: what is asked for.
        teacher: name of the teacher; None where the arm needs none.
        settings: nested like pgkd.yaml, without the files.
        known: the teacher, if it is one of known quality.
    """

    data: str
    rows: int
    seed: int
    arm: Arm
    teacher: str | None
    settings: dict[str, Any]
    known: KnownTeacher | None = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        parts = [self.data, str(self.rows), f"s{self.seed}", self.arm.name]
        return "-".join([*parts, *([self.teacher] if self.teacher else [])])

    @property
    def key(self) -> dict[str, Any]:
        """What tells it from the other cells."""
        values = (self.data, self.rows, self.seed, self.arm.name, self.teacher)
        return dict(zip(_KEYS, values, strict=True))

    def config(self, train: Path | None = None, out: Path | None = None) -> Config:
        """The settings of its run.

        Raises:
            ConfigError: one of them is wrong.
        """
        return Config.parse(merge(self.settings, {"data": {"train": train}, "out": out}))


def read_plan(path: Path) -> Plan:
    """Read the file of a benchmark.

    Raises:
        ConfigError: it cannot be read, or lists everything that is wrong in it.
    """
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read a benchmark from {path}: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{path} is wrong:\n  - " + "\n  - ".join(lines)) from None


def list_cells(plan: Plan) -> tuple[Cell, ...]:
    """Every cell of a benchmark once.

    An arm that the teacher of a block cannot serve, as an oracle that only writes cannot label,
    makes no cell.

    Raises:
        ConfigError: a name is unknown, or two blocks disagree about a cell.
    """
    cells: dict[str, Cell] = {}
    known = {name: _known(name, how) for name, how in plan.teachers.items()}
    for block in plan.grid:
        _check_names(plan, block)
        for cell in _of_block(plan, block, known):
            same = cells.setdefault(cell.name, cell)
            if same != cell:
                raise ConfigError(
                    f"Two blocks of the grid describe the cell {cell.name} in different ways."
                )
    for cell in cells.values():
        cell.config()  # a wrong setting is told before anything runs
    return tuple(cells.values())


def chosen(cells: Sequence[Cell], only: str) -> tuple[Cell, ...]:
    """The cells that a choice like ``data=trec6,arm=targeted,even,rows=100`` names.

    Raises:
        ConfigError: it names nothing there is.
    """
    wanted = _choice(only)
    found = tuple(
        cell
        for cell in cells
        if all(str(cell.key[name]) in values for name, values in wanted.items())
    )
    if not found:
        raise ConfigError(f"No cell of the grid is {only}.")
    return found


def _choice(only: str) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    name = ""
    for part in filter(None, only.split(",")):
        given, equals, value = part.partition("=")
        if equals:
            name = given.strip()
        if name not in _KEYS:
            raise ConfigError(f"--only takes {', '.join(f'{key}=…' for key in _KEYS)}; not {part}.")
        wanted.setdefault(name, set()).add((value if equals else part).strip())
    return wanted


def _of_block(plan: Plan, block: Block, known: Mapping[str, KnownTeacher | None]) -> Iterator[Cell]:
    for data in block.data:
        for rows in block.rows:
            for seed in block.seeds:
                for name in block.arms:
                    arm = ARMS[name]
                    for teacher in block.teachers if arm.asks == "teacher" else (None,):
                        how = known[teacher] if teacher else None
                        if how is None or how.provider in _able(arm):
                            settings = _settings(plan, block, arm, teacher, how, rows, seed)
                            yield Cell(data, rows, seed, arm, teacher, settings, how)


def _able(arm: Arm) -> tuple[str, ...]:
    """The teachers of known quality that can serve an arm."""
    if arm.pool and arm.settings.get("pool", {}).get("share") == 1:  # nothing is written
        return _KNOWN
    return ("labeller",) if arm.labels else ("oracle",)


def _settings(
    plan: Plan,
    block: Block,
    arm: Arm,
    teacher: str | None,
    known: KnownTeacher | None,
    rows: int,
    seed: int,
) -> dict[str, Any]:
    settings = merge(merge(plan.settings, block.settings), dict(arm.settings))
    settings = merge(settings, {"data": {"limit": rows}, "seed": seed})
    if arm.asks == "nobody" or arm.labels:
        settings["rounds"] = 0
    if arm.asks != "teacher":  # a budget is one of the teacher
        none = {"provider": "oracle", "cache": "off"}
        return {**settings, "budget": {}, "teacher": none}
    how = {"provider": known.provider} if known else dict(plan.teachers[teacher or ""])
    return merge(settings, {"teacher": {**how, "cache": "off"}})  # see sharing.py


def _known(name: str, how: dict[str, Any]) -> KnownTeacher | None:
    if how.get("provider") not in _KNOWN:
        return None
    try:
        return KnownTeacher.model_validate(how)
    except ValidationError as error:
        raise ConfigError(f"teachers.{name}: {error.errors()[0]['msg']}") from None


def _check_names(plan: Plan, block: Block) -> None:
    parts = (*block.data, *block.teachers)
    arms = (*block.arms, *plan.baselines)
    faults = [f"There is no arm '{name}'." for name in dict.fromkeys(arms) if name not in ARMS]
    faults += [f"'{name}' is no name for a file." for name in parts if not re.match(_NAME, name)]
    faults += [
        f"There is no teacher '{name}' in `teachers`."
        for name in block.teachers
        if name not in plan.teachers
    ]
    needing = [n for n in block.arms if n in ARMS and ARMS[n].asks == "teacher"]
    if needing and not block.teachers:
        faults.append(f"The arms {', '.join(needing)} need `teachers` in their block.")
    if faults:
        told = "\n  - ".join(("The grid is wrong:", *faults))
        raise ConfigError(f"{told}\nThe arms are: {', '.join(ARMS)}.")


_DONE, _PREDICTED, _TESTED = "cell.json", "test.npz", "test.json"


@dataclass(frozen=True)
class CellFolder:
    """The folder of a cell."""

    path: Path

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.path / "run"

    @property
    def ledger(self) -> Path:
        """The ledger of a cell that only labels."""
        return self.path / "ledger.sqlite"

    @property
    def state(self) -> str:
        """How far it is, in a word."""
        if (self.path / _TESTED).is_file():
            return "tested"
        if (self.path / _DONE).is_file():
            return "distilled"
        return "begun" if self.path.is_dir() else "open"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the cell.

        Raises:
            RunError: another process is at it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        taken = RunError(
            f"Another process is running {self.path}: wait for it, or choose other cells."
        )
        with held(self.path / ".lock", taken):
            yield

    def done(self, cell: Cell) -> bool:
        """Whether it was distilled.

        Raises:
            RunError: with other settings than the benchmark has now.
        """
        if not (self.path / _DONE).is_file():
            return False
        then, now = self.read_done()["settings"], cell_settings(cell)
        if then != now:
            told = "\n".join(f"  - {line}" for line in differences(then, now))
            raise RunError(
                f"{self.path} was run with other settings:\n{told}\n"
                "Give another --out, or remove the folder of the cell."
            )
        return True

    def read_done(self) -> dict[str, Any]:
        """What `write_done` wrote."""
        return self._read(_DONE)

    def write_done(self, cell: Cell, found: dict[str, Any]) -> None:
        """Note that the cell is distilled."""
        self._write(_DONE, {"cell": cell.key, "settings": cell_settings(cell), **found})

    def read_test(self) -> dict[str, Any]:
        """The figures on the test rows."""
        return self._read(_TESTED)

    def predictions(self) -> dict[str, NDArray[Any]]:
        """What was predicted: see `write_test`."""
        with np.load(self.path / _PREDICTED, allow_pickle=False) as arrays:
            return dict(arrays)

    def write_test(self, figures: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Keep the figures on the test rows, and what they were made from."""
        partial = self.path / f".partial-{_PREDICTED}"
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(self.path / _PREDICTED)
        self._write(_TESTED, figures)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name} cannot be read: {error}") from error
        return data

    def _write(self, name: str, data: dict[str, Any]) -> None:
        write_whole(self.path / name, as_json(data))


def cell_settings(cell: Cell) -> dict[str, Any]:
    """All that a cell follows from, by dotted names, for comparison."""
    settings = flat_settings(cell.config().model_dump(mode="json", exclude={"track"}))
    return settings | (
        {} if cell.known is None else flat_settings(cell.known.model_dump(), "known.")
    )
