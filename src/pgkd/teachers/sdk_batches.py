"""What the batches behind the openai and the anthropic SDK share."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgkd.errors import TeacherUnavailableError
from pgkd.teachers.batch import records
from pgkd.teachers.endpoint import guarded_client, http_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgkd.teachers.sdk import SdkTeacher

CLOCKS_DIFFER = timedelta(hours=1)
"""By how much the provider's clock and ours may differ."""
_LONGEST_FILE = 4_000_000_000  # bytes of the results of a batch, which are never in memory at once
_STREAMED = {"X-Stainless-Raw-Response": "stream"}  # tells the SDK to leave the body alone
_LONGEST_ID = 200  # characters
_MOST_PAGES = 100  # of a list that are turned


class SdkBatches:
    """Finds, lists and reads what the provider has; a subclass knows what it is.

    Args:
        teacher: whose model is asked, through its connection.
    """

    def __init__(self, teacher: SdkTeacher) -> None:
        self._teacher = teacher
        self._client = teacher._client
        self._answer = teacher._answer
        self._endpoint = teacher._endpoint

    def _found(self, call: Callable[[str], Any], id_: str) -> Any | None:
        """What a call finds by this id; None where the provider knows none such."""

        def found(asked: str) -> Any | None:
            try:
                return call(asked)
            except self._teacher._sdk.NotFoundError:
                return None

        return self._answer(found, {"asked": id_})

    def _listed(self, call: Callable[..., Any]) -> Iterator[Any]:
        """The items of a list that comes in pages."""
        page = self._answer(call, {"limit": 100})
        for _ in range(_MOST_PAGES):
            items = getattr(page, "data", None)
            yield from items if isinstance(items, list) else ()
            if not items or not page.has_next_page():
                return
            page = self._answer(page.get_next_page, {})

    def _records(self, path: str) -> Iterator[Any]:
        """The records of a file of JSON lines at the endpoint; what is damaged is passed over.

        Raises:
            TeacherError: the file cannot be read, or not to its end.
        """
        sdk, tls = self._teacher._sdk, self._teacher._tls
        with guarded_client(sdk, self._teacher._timeout, _LONGEST_FILE, tls=tls) as http:
            client = self._client.with_options(http_client=http)
            asked = {"path": path, "cast_to": object, "options": {"headers": _STREAMED}}
            with closing(self._answer(client.get, asked)) as response:
                try:
                    yield from records(response.iter_bytes())
                except http_of(sdk).HTTPError as error:
                    told = self._endpoint.told(f"broke off: {error}")
                    raise TeacherUnavailableError(told) from None

    def _id_of(self, made: Any) -> str:
        """The id of what a call has made."""
        id_ = getattr(made, "id", None)
        if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_ID:
            raise TeacherUnavailableError(f"{self._endpoint} answered without an id.")
        return id_
