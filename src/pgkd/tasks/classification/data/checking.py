"""What rows have to agree on: known labels, one label a text, no text in both parts.

Two texts are the same where `text_key` says so: they differ in case, spaces, Unicode form or what
cannot be seen. Most encoders cannot tell such texts apart, so one in each part would leak.
"""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from pgkd.data.cells import place
from pgkd.data.sameness import label_key, text_key
from pgkd.quoting import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgkd.data.problems import Problems
    from pgkd.tasks.classification.data.example import Example

CONFLICTS = ("texts with several labels", "texts in both parts")


def check_labels(rows: Iterable[Example], names: Sequence[str], problems: Problems) -> None:
    """Note every row whose label is not a class, with the class that was probably meant."""
    known = set(names)
    by_key = {label_key(name): name for name in names}

    @cache
    def hint(label: str) -> str:
        close = get_close_matches(label_key(label), by_key, n=1)
        return f"; do you mean '{shown(by_key[close[0]])}'?" if close else ""

    kind = "rows with an unknown label"
    for row in rows:
        if row.label not in known:
            label = shown(row.label)
            told = f"{place(row.id)} has the label '{label}', which is not in the class list"
            # With a wrong column every row ends here: a hint for each would take minutes.
            problems.add(kind, told + ("" if problems.is_full(kind) else hint(row.label)))


def consistent(
    rows: Iterable[Example], problems: Problems, warnings: list[str], *, part: str, drop: bool
) -> list[Example]:
    """Each text once, without the texts that have several labels.

    Args:
        rows: of one part.
        problems: takes the texts with several labels.
        warnings: takes what was left out.
        part: what the warnings call the rows.
        drop: leave texts with several labels out with a warning: no problem then.
    """
    by_text: defaultdict[str, list[Example]] = defaultdict(list)
    for row in rows:
        by_text[text_key(row.text)].append(row)
    kept: list[Example] = []
    repeated = contradicting = 0
    for same in by_text.values():
        if len({row.label for row in same}) == 1:
            kept.append(same[0])
            repeated += len(same) - 1
            continue
        contradicting += len(same)
        if not drop:
            told = ", ".join(f"{place(row.id)} '{shown(row.label)}'" for row in same[:5])
            more = f" and {len(same) - 5} more" if len(same) > 5 else ""
            problems.add(CONFLICTS[0], f"the same text has several labels: {told}{more}")
    if repeated:
        warnings.append(f"{part}: repeated rows left out: {repeated}")
    if contradicting and drop:
        warnings.append(f"{part}: rows dropped, as their text has several labels: {contradicting}")
    return kept


def disjoint(
    train: list[Example],
    validation: Iterable[Example],
    problems: Problems,
    warnings: list[str],
    *,
    drop: bool,
) -> list[Example]:
    """Training rows whose text is no validation row; the others are dropped or a problem."""
    held = {text_key(row.text): row for row in validation}
    both = [row for row in train if text_key(row.text) in held]
    if both and drop:
        warnings.append(f"train: rows dropped, as their text is a validation row: {len(both)}")
    elif both:
        for row in both:
            twin = place(held[text_key(row.text)].id)
            problems.add(CONFLICTS[1], f"{place(row.id)} has the same text as {twin}")
    return [row for row in train if text_key(row.text) not in held]


def class_warnings(names: Sequence[str], train: Iterable[Example]) -> list[str]:
    """What looks odd about the classes: no training row, or names that are hard to tell apart."""
    seen = {row.label for row in train}
    unseen = [name for name in names if name not in seen]
    warnings = []
    if unseen:
        warnings.append(f"classes without a training row ({len(unseen)}): {_some(unseen)}")
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[label_key(name)].append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    for how, in_case in (("differ in case only", True), ("look the same", False)):
        told = [
            " / ".join(map(shown, group))
            for group in groups
            if (len({name.casefold() for name in group}) == 1) is in_case
        ]
        if told:
            warnings.append(f"classes that {how} ({len(told)}): {', '.join(told[:10])}")
    return warnings


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:10])) + (", …" if len(names) > 10 else "")
