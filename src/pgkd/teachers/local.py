"""A teacher on this machine: a GGUF model in this process, through llama.cpp."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from pgkd.errors import ConfigError, TeacherRequestError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.base import FinishReason, Reply, Request, Teacher
from pgkd.teachers.scoring import END, score_choices
from pgkd.weights.fetch import ensure
from pgkd.weights.pins import DEFAULT_TEACHER, find

_SAMPLE = 1_000_000  # bytes of either end of a file that identify it
_POLL = 0.2  # seconds between two looks for Ctrl-C
_LONGEST_REPLY = 1_000_000  # characters; a reply is cut off there
# Small models fall into loops. DRY sampling weighs down only what would prolong a stretch of more
# than this many tokens that stands among the last ones already: all other texts stay as they are.
_NO_LOOPS = {"dry_multiplier": 0.8, "dry_allowed_length": 24, "dry_penalty_last_n": 512}
_NEXT_TOKENS = 256  # of a vocabulary: what is less likely than these is not worth telling apart
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class LocalTeacher(Teacher):
    """Runs a GGUF model; it is loaded at the first request.

    The same requests in the same order, with the same threads, get the same replies from a fresh
    teacher. A request that is repeated later may get another reply: the part of its prompt that is
    cached is not computed again, and rounding differs. `RecordedTeacher` repeats a run exactly.

    Args:
        model: a name of `pgkd models list`, or the path of a GGUF file; None takes the default.
        threads: CPU threads; None takes all cores. On a busy machine fewer can be faster.
        context: tokens of prompt and reply together.

    Raises:
        ConfigError: the model is neither a known name nor a file.
        MissingExtraError: the extra ``local`` is not installed.
    """

    name = "local"
    scores_choices = True

    def __init__(
        self, model: str | None = None, *, threads: int | None = None, context: int = 8192
    ) -> None:
        self._model = model or DEFAULT_TEACHER
        self._threads = threads or os.cpu_count() or 1
        self._context = context
        self._server: Any = None
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._caller: threading.Thread | None = None
        if find(self._model) is None and not Path(self._model).is_file():
            raise ConfigError(
                f"The local teacher's model '{self._model}' is neither a name of "
                "`pgkd models list` nor a GGUF file."
            )
        require("xllamacpp", extra="local", job="The local teacher")
        self.model = _identity(self._model)

    def complete(self, request: Request) -> Reply:
        """Answer one request; Ctrl-C is heard while the model writes.

        A request with choices gets the likeliest of them, and the scores of them all
        (`pgkd.teachers.scoring`).

        Raises:
            TeacherRequestError: the request does not fit into the context.
            TeacherUnavailableError: the model cannot be loaded or run.
        """
        if request.choices:
            return self._score(request)
        start = time.perf_counter()
        chunks: list[dict[str, Any]] = []
        self._call(_payload(request), chunks)
        return _reply(chunks, Path(self._model).name, time.perf_counter() - start)

    def _score(self, request: Request) -> Reply:
        """The likeliest choice, and the scores of them all."""
        start = time.perf_counter()
        usages: list[dict[str, Any]] = []

        def next_tokens(begun: str) -> dict[bytes, float]:
            chunks: list[dict[str, Any]] = []
            self._call(_next_token_payload(request, begun), chunks)
            usages.append(_checked(chunks)[-1].get("usage") or {})
            return _next_tokens(chunks[-1])

        scores = score_choices(request.choices, next_tokens)
        return Reply(
            text=request.choices[max(range(len(scores)), key=scores.__getitem__)],
            model=Path(self._model).name,
            input_tokens=usages[0].get("prompt_tokens"),
            output_tokens=len(usages),
            seconds=round(time.perf_counter() - start, 3),
            scores=scores,
        )

    def close(self) -> None:
        """Stop a running call and free the model."""
        self._end_call()
        self._server = None

    def _load(self) -> None:
        if self._server is None:
            llama = require("xllamacpp", extra="local", job="The local teacher")
            path = ensure(self._model)
            params = llama.CommonParams()
            params.model.path = str(path)
            params.n_ctx = self._context
            params.n_parallel = 1
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
            params.warmup = False
            params.verbosity = -1
            # llama.cpp also listens on a port of the loopback interface: nobody knows this key.
            params.api_keys = [secrets.token_hex(16)]
            params.ui = False
            try:
                self._server = llama.Server(params)
            except RuntimeError as error:
                raise TeacherUnavailableError(f"{path} cannot be loaded: {error}") from error

    def _call(self, payload: dict[str, Any], chunks: list[dict[str, Any]]) -> None:
        """Run a call in a thread, for Python hears Ctrl-C only between its own instructions.

        Only that thread names the model: a traceback keeps what the other frames name alive, and
        `close` could not free it.
        """
        self._load()
        self._end_call()
        failures: list[Exception] = []
        cancelled = self._cancelled = threading.Event()
        ended = self._ended = threading.Event()
        written = 0

        def receive(chunk: dict[str, Any]) -> bool:
            nonlocal written
            chunks.append(chunk)
            written += len(_delta(chunk))
            return cancelled.is_set() or written > _LONGEST_REPLY  # True ends the call

        def run() -> None:
            try:
                answer = self._server.handle_chat_completions(payload, receive)
            except Exception as error:  # noqa: BLE001  (told to the caller's thread below)
                failures.append(error)
            else:
                if isinstance(answer, dict):
                    chunks.append(answer)
            finally:
                ended.set()

        self._caller = threading.Thread(target=run, name="pgkd-local-teacher", daemon=True)
        self._caller.start()
        try:
            _await(ended)
        except BaseException:
            cancelled.set()
            raise
        if failures:
            raise TeacherUnavailableError(f"The local model failed: {failures[0]}")

    def _end_call(self) -> None:
        """Break off a call that Ctrl-C left running, and wait until it has let go of the model."""
        if self._caller is not None:
            self._cancelled.set()
            _await(self._ended)
            self._caller.join()
            self._caller = None


def _identity(model: str) -> str:
    """The model's name in the reply cache; for a file, its name with a hash of its content.

    The first megabyte of a GGUF file describes the weights and the last one consists of them. To
    read the gigabytes in between would take longer than a call.
    """
    path = Path(model)
    if find(model) is not None or not path.is_file():
        return model
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest.update(str(size).encode())
        for start in (0, max(0, size - _SAMPLE)):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return f"{path.name}@{digest.hexdigest()[:12]}"


def _await(ended: threading.Event) -> None:
    """Wait for the end of a call, and hear Ctrl-C meanwhile.

    Not by `Thread.join`: before Python 3.13, a join with a timeout that Ctrl-C breaks off marks
    the running thread as stopped, and nothing can wait for it any more.
    """
    while not ended.wait(_POLL):
        pass


def _payload(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    payload: dict[str, Any] = {
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "cache_prompt": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if sampling.temperature > 0:  # a greedy answer may have to copy a long class name
        payload |= _NO_LOOPS
    if sampling.seed is not None:
        payload["seed"] = sampling.seed
    if request.wants_logprob:
        payload["logprobs"] = True
    if request.schema is not None:
        schema = {"name": "answer", "schema": request.schema}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def _next_token_payload(request: Request, begun: str) -> dict[str, Any]:
    """Asks for the probabilities of the token that follows the beginning of an answer."""
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    if begun:
        messages.append({"role": "assistant", "content": begun})
    return {
        "messages": messages,
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": _NEXT_TOKENS,
        "cache_prompt": True,
    }


def _next_tokens(answer: dict[str, Any]) -> dict[bytes, float]:
    """Log-probabilities of the likeliest next tokens, by their bytes.

    Only the tokens that end an answer have none; of these the likeliest counts.
    """
    found: dict[bytes, float] = {}
    try:
        for token in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            found.setdefault(bytes(token["bytes"]) or END, float(token["logprob"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise TeacherUnavailableError(
            f"The local model gave no probabilities: {error!r}"
        ) from error
    return found


def _delta(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


def _reply(chunks: list[dict[str, Any]], model: str, seconds: float) -> Reply:
    finish: FinishReason = "other"
    usage: dict[str, Any] = {}
    logprobs: list[float] = []
    for chunk in _checked(chunks):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            tokens = (choice.get("logprobs") or {}).get("content") or ()
            logprobs += [token["logprob"] for token in tokens]
            if reason := choice.get("finish_reason"):
                finish = _FINISH.get(reason, "other")
    return Reply(
        text="".join(_delta(chunk) for chunk in chunks),
        model=model,
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        seconds=round(seconds, 3),
        finish_reason=finish,
        logprob=sum(logprobs) if logprobs else None,
    )


def _checked(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chunks of an answer, none of which tells of an error."""
    for chunk in chunks:
        if error := chunk.get("error"):
            raise _error(error)
    if not chunks:
        raise TeacherUnavailableError("The local model answered nothing.")
    return chunks


def _error(error: dict[str, Any]) -> TeacherRequestError | TeacherUnavailableError:
    if error.get("type") == "exceed_context_size_error":
        return TeacherRequestError(
            f"The prompt has {error.get('n_prompt_tokens')} tokens and the local teacher's context "
            f"{error.get('n_ctx')}: raise teacher.context, or show fewer examples."
        )
    message = str(error.get("message", error))
    if error.get("code") == 400:
        return TeacherRequestError(f"The local model refuses the request: {message}")
    return TeacherUnavailableError(f"The local model failed: {message}")
