"""Every error that pgkd raises on purpose.

The whole tree, with what a caller can do about each::

    PgkdError                   catch this one to catch them all
    ├── ConfigError             a setting is wrong: change pgkd.yaml or the option
    ├── DataError               the rows are wrong: `.problems` lists every one of them
    ├── MissingExtraError       a job needs an extra: run the `pip install` it names
    ├── WeightsError            weights are not at hand
    │   ├── WeightsOfflineError     PGKD_OFFLINE=1 forbids the download
    │   └── WeightsIntegrityError   the bytes are not the pinned ones
    ├── StudentError            a student cannot be fitted, saved or loaded
    ├── TeacherError            the teacher gave no reply
    │   ├── TeacherAuthError        the key is missing or refused: do not retry
    │   │   └── TeacherQuotaError       the account's quota or credit is used up
    │   ├── TeacherRequestError     the request itself was refused: do not retry
    │   │   └── FieldRefusedError       a part of it, left out from now on: ask again
    │   ├── BudgetExhaustedError    the next call might pass the budget: raise it
    │   ├── TeacherDownError        too many requests in a row failed: run again later
    │   ├── TeacherRateLimitError   too many requests: retry after `.retry_after` seconds
    │   └── TeacherUnavailableError network or server error: retry
    ├── RunError                a run folder is missing, foreign or damaged
    │   └── ConflictError           somebody else has decided meanwhile: look, and decide again
    ├── ExportError             nothing can be exported so or there, or an export is damaged
    ├── ResumeError             half a file of answers belongs to other texts or settings
    ├── EngineError             a cluster cannot be reached, or fails
    └── ServerError             a server could not start

A message says what happened, to which row or call, and what to do next. The errors of what a caller
gave (ConfigError, DataError, StudentError) are ValueErrors, too, as scikit-learn's are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PgkdError(Exception):
    """Base of all errors that pgkd raises on purpose."""


class ConfigError(PgkdError, ValueError):
    """A setting is unknown, out of bounds or contradicts another one."""


class DataError(PgkdError, ValueError):
    """The rows cannot be used as they are.

    Attributes:
        problems: every problem that was found, one sentence each, with row numbers.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  - ".join((message, *self.problems)))


class MissingExtraError(PgkdError):
    """A job needs packages that a plain install leaves out.

    Attributes:
        extra: the name of the extra that brings them.
    """

    def __init__(self, job: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{job} needs the extra '{extra}'. Run: pip install 'pgkd[{extra}]'")


class WeightsError(PgkdError):
    """Model weights could not be found or fetched."""


class WeightsOfflineError(WeightsError):
    """Weights are missing and PGKD_OFFLINE=1 forbids fetching them."""


class WeightsIntegrityError(WeightsError):
    """Fetched bytes differ from the pinned SHA-256; they are not used."""


class StudentError(PgkdError, ValueError):
    """A student cannot be fitted on these rows, saved or loaded."""


class TeacherError(PgkdError):
    """The teacher gave no reply to a request.

    Attributes:
        settled: it happened in an earlier life of the run, which went on without the reply; to
            ask again would change nothing.
    """

    settled: bool = False


class TeacherAuthError(TeacherError):
    """The key is missing or the provider refuses it; a retry cannot help."""


class TeacherQuotaError(TeacherAuthError):
    """The quota or the credit of the account is used up; a retry cannot help."""


class TeacherRequestError(TeacherError):
    """The provider refuses this request as it stands; a retry cannot help.

    Attributes:
        complaint: the words of the provider's error, from which pgkd learns what it does not
            accept; untrusted, and not for people.
    """

    complaint: str = ""


class FieldRefusedError(TeacherRequestError):
    """The provider refuses a part of the request that it is not sent again: ask once more.

    `Teacher.complete` does so itself.

    Attributes:
        thinks: the refusal shows that the model thinks before it answers.
    """

    def __init__(self, message: str, thinks: bool = False) -> None:
        self.thinks = thinks
        super().__init__(message)


class TeacherRateLimitError(TeacherError):
    """The provider asks to slow down.

    Attributes:
        retry_after: seconds the provider asks to wait, or None where it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class BudgetExhaustedError(TeacherError):
    """The next call might pass the budget of the run; it was not made."""


class TeacherDownError(TeacherError):
    """Too many requests in a row have failed, so the call was not made."""


class TeacherUnavailableError(TeacherError):
    """The network or the provider's server failed; a retry may help."""


class RunError(PgkdError):
    """A run folder is missing, belongs to something else or is damaged."""


class ConflictError(RunError):
    """Somebody else has decided on a text, and who decides now did not know of it."""


class ExportError(PgkdError):
    """Nothing can be exported in this format or to there, or a folder is no whole export."""


class ResumeError(PgkdError):
    """A file of answers cannot be started or resumed."""


class EngineError(PgkdError):
    """What spreads the work over a cluster failed."""


class ServerError(PgkdError):
    """A worker of a server cannot start."""
