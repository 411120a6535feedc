"""Optional packages: imported when a job needs them, with the exact install command if absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pgkd.errors import MissingExtraError


def require(module: str, *, extra: str, job: str) -> Any:
    """Import an optional module.

    Args:
        module: dotted name, e.g. ``"torch"``.
        extra: the pgkd extra that installs it.
        job: what the caller is about to do; the message begins with it.

    Raises:
        MissingExtraError: the module is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # the package is here and broken: hiding that would mislead
        raise MissingExtraError(job, extra) from error
