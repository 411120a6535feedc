"""A run as one HTML file, to be read and passed on.

``gather`` reads a run folder into `Content`, ``figures`` draws its charts, and ``page`` lays both
out.
"""

from __future__ import annotations

from pathlib import Path

from pgkd.apps.report.content import Content
from pgkd.apps.report.figures import draw
from pgkd.apps.report.gather import gather
from pgkd.apps.report.page import render
from pgkd.apps.report.svg import check_available
from pgkd.errors import RunError
from pgkd.files import reason, write_whole
from pgkd.runs.folder import RunFolder

__all__ = ["Content", "check_available", "gather", "write_report"]


def write_report(run: RunFolder, out: Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        run: the run; it may be running, or have been cut off.
        out: the file to write; default: ``report.html`` in the run folder.

    Returns:
        The file that was written.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
        RunError: a file of the run is damaged, or the report cannot be written.
    """
    check_available()
    content = gather(run)
    page = render(content, draw(content))
    path = out or run.path / "report.html"
    try:
        write_whole(path, page)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {reason(error)}. Choose another file with --out."
        ) from error
    return path
