"""What the teachers behind the openai and the anthropic SDK share: the two are built alike."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pgkd.errors import ConfigError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.endpoint import Endpoint, error_of_sdk, guarded_client, http_of, key_of, parsed
from pgkd.teachers.quiet import Quiet
from pgkd.teachers.refusals import AdaptingTeacher, may_think
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

_SHOWN = 100  # characters of an answer that is no JSON
# httpx and httpx2, and what these rest on: it logs the headers of every answer.
_LOGGERS = tuple(
    f"{package}{name}"
    for two in ("", "2")
    for package, names in (
        (f"httpx{two}", ("",)),
        (f"httpcore{two}", (".connection", ".http11", ".http2", ".proxy", ".socks")),
    )
    for name in names
)


class SdkTeacher(AdaptingTeacher):
    """A teacher behind an official SDK whose package and extra bear the teacher's name.

    A subclass names the SDK's client in `client_class`, and takes the arguments as its own.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None is the provider's own.
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call.

    Raises:
        MissingExtraError: the extra is not installed.
        ConfigError: `base_url` is no address.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry what it holds.
    """

    concurrency = 64
    client_class: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        api_key_env: str,
        timeout: float,
        max_retries: int,
    ) -> None:
        self._sdk: ModuleType = require(self.name, extra=self.name, job=f"The {self.name} teacher")
        key = key_of(api_key_env, needed=base_url is None)
        self.model = model
        self.thinks = may_think(model)
        self._timeout = timeout
        self._http = http_of(self._sdk)
        self._tls = self._http.create_ssl_context()  # once: it reads hundreds of certificates
        try:
            self._client = getattr(self._sdk, self.client_class)(
                api_key=key or "none",
                base_url=base_url,
                timeout=timeout,
                max_retries=max_retries,
                http_client=guarded_client(self._sdk, timeout, tls=self._tls),
            )
        except self._http.InvalidURL as error:
            where = "base_url" if base_url else f"{self.name.upper()}_BASE_URL"
            raise ConfigError(f"{where} is no address: {error}.") from None
        self._clients = [self._client]
        self._idle = deque(self._clients)
        self.biller = str(self._client.base_url)
        if not self.biller.startswith(("http://", "https://")):  # untold: it may hold a password
            self._client.close()
            raise ConfigError(f"The {self.name} teacher's base_url needs http:// or https://.")
        self._endpoint = Endpoint(self.biller, key)
        self._quiet = Quiet(self._endpoint.redacted, f"{self.name}._base_client", *_LOGGERS)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()
        self._quiet.stop()

    def _posted(self, path: str, payload: dict[str, Any]) -> Any:
        """What the endpoint answers to a payload: objects with attributes, any part may be odd.

        This is the SDK's own way to call what it has no method for. Its methods copy the payload by
        the types that it should have, and build a checked model of the answer, which takes longer
        than all the rest of a call.
        """

        def post() -> Any:
            with self._lent() as client:
                response = client.post(path, body=payload, cast_to=self._http.Response)
            try:
                return parsed(response.content)
            except (ValueError, RecursionError):
                body = self._endpoint.redacted(response.content.decode("utf-8", "replace"))
                told = f"{self._endpoint} sent no JSON, but '{shown(body.strip(), _SHOWN)}'."
                raise TeacherUnavailableError(told) from None

        return self._answer(post, {})

    @contextmanager
    def _lent(self) -> Iterator[Any]:
        """A client of the SDK for one call, and with it a connection that no other call uses.

        Calls that share a pool of connections wait for each other, and search it in turn.
        """
        try:
            client = self._idle.pop()
        except IndexError:
            http = guarded_client(self._sdk, self._timeout, tls=self._tls)
            client = self._client.with_options(http_client=http)
            self._clients.append(client)
        try:
            yield client
        finally:
            self._idle.append(client)

    def _answer(self, call: Callable[..., Any], payload: dict[str, Any]) -> Any:
        """What a call of the SDK returns; its errors are raised as ours."""
        try:
            return call(**payload)
        # `from None`: a traceback that shows the SDK's error would show the key it may quote.
        except getattr(self._sdk, f"{self.client_class}Error") as error:
            raise error_of_sdk(self._sdk, error, self._endpoint) from None
        except (ValueError, RecursionError) as error:  # the body was no JSON, or nests too deep
            told = self._endpoint.told(f"sent no JSON: {error}")
            raise TeacherUnavailableError(told) from None
