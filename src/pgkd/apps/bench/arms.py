"""The arms of a benchmark: what each asks for, and of whom.

An arm is a few settings over those of the grid. All else is the same for every arm: the student,
the class list, the weight of texts, curation, the stop rule and the number of texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        settings={"class_list": False}),
    Arm("class-list", "the student of the labelled rows and, where it helps, the class list",
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
