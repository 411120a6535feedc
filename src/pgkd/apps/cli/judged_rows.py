"""Which rows of a file may judge a run: not its own, as `pgkd evaluate` and `pgkd cascade` say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def left_to_judge(
    path: Path, data: Path, texts: Sequence[str]
) -> tuple[list[int], dict[str, int] | None]:
    """Places of the rows that are none of the run's own; what the others are to it is told.

    Args:
        path: a run, or a student or an export of one.
        data: the file, as messages name it.
        texts: of its rows.

    Returns:
        The places, and how many rows are what in the run; None where there is no run to ask.

    Raises:
        DataError: all are the run's own.
    """
    from pgkd.apps.cli.console import console
    from pgkd.runs.folder import RunFolder
    from pgkd.runs.own_rows import counted, own_rows, run_around

    folder = run_around(path)
    if folder is None:
        return list(range(len(texts))), None
    found = own_rows(RunFolder.open(folder), texts)
    own = counted(found)
    if own:
        kinds = " and ".join(f"{count} {kind}" for kind, count in own.items())
        told = f"{sum(own.values())} of {len(texts)} rows of {data} are the run's own ({kinds})"
        if all(found):
            raise DataError(
                f"{told}, and none is left to judge by: give rows that it has not seen."
            )
        console(stderr=True).print(f"warning: {told} and are left out")
    return [i for i, kind in enumerate(found) if kind is None], own
