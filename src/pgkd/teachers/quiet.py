"""Logs without secrets: at DEBUG, SDKs log whole requests, and with them what signs them."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Headers as SDKs write them; botocore logs them before it tells anybody that it has them.
_HEADER = re.compile(r"(?i)(x-amz-security-token['\"]?: ?(?:b?['\"])?|\bbearer )[^\s'\"]+")
_PLAIN = logging.Formatter()


class Quiet(logging.Filter):
    """Takes secrets out of the records of some loggers, from now until `stop`."""

    def __init__(self, redacted: Callable[[str], str], *loggers: str) -> None:
        super().__init__()
        self._redacted = redacted
        self._loggers = [logging.getLogger(name) for name in loggers]
        for logger in self._loggers:
            logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, clean."""
        told = record.getMessage()
        clean = self._clean(told)
        if clean != told:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._clean(_PLAIN.formatException(record.exc_info))
        return True

    def stop(self) -> None:
        """Leave the loggers as they were."""
        for logger in self._loggers:
            logger.removeFilter(self)

    def _clean(self, text: str) -> str:
        return _HEADER.sub(r"\1[key]", self._redacted(text))
