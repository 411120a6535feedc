"""A teacher on this machine: a GGUF model in this process, through llama.cpp."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pgkd.errors import ConfigError, TeacherRequestError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.base import FinishReason, Reply, Request, Teacher
from pgkd.weights.fetch import ensure
from pgkd.weights.pins import DEFAULT_TEACHER, find

_SAMPLE = 1_000_000  # bytes of either end of a file that identify it
_POLL = 0.2  # seconds between two looks for Ctrl-C
_MAX_REPLY = 1_000_000  # characters; a reply is cut off there
# Small models fall into loops. DRY sampling weighs down only what would prolong a stretch of more
# than this many tokens that stands among the last ones already: all other texts stay as they are.
_NO_LOOPS = {"dry_multiplier": 0.8, "dry_allowed_length": 24, "dry_penalty_last_n": 512}
_NEXT_TOKENS = 256  # of a vocabulary: what is less likely than these is not worth telling apart
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}

NextTokens = Callable[[str], Mapping[bytes, float]]
"""From the beginning of an answer to log-probabilities of its likeliest next tokens."""
END = b"\0"
"""Stands among the next tokens for those that end an answer."""
_MIN_MASS = 1e-3  # a branch with less probability is shared evenly among its choices


class LocalTeacher(Teacher):
    """A GGUF model in this process; it is loaded at the first request.

    The same requests in the same order, with the same threads, get the same replies from a new
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
                f"The local teacher's model '{self._model}' is neither in `pgkd models list` nor a "
                "GGUF file."
            )
        require("xllamacpp", extra="local", job="The local teacher")
        self.model = _identity(self._model)

    def complete(self, request: Request) -> Reply:
        """Answer one request; Ctrl-C works while the model writes.

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
        """Run a call in a thread, because Python notices Ctrl-C only between its own instructions.

        Only that thread refers to the model: a traceback keeps alive what the other frames refer
        to, and `close` could not free it.
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
            return cancelled.is_set() or written > _MAX_REPLY  # True ends the call

        def run() -> None:
            try:
                answer = self._server.handle_chat_completions(payload, receive)
            except Exception as error:  # noqa: BLE001  (raised in the caller's thread below)
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
        """Cancel a call that Ctrl-C left running, and wait until it has released the model."""
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
    """Wait for the end of a call, and notice Ctrl-C meanwhile.

    Not by `Thread.join`: before Python 3.13, a join with a timeout that Ctrl-C interrupts marks
    the running thread as stopped, and nothing can wait for it any more.
    """
    while not ended.wait(_POLL):
        pass


def _payload(request: Request) -> dict[str, Any]:
    stream = {"cache_prompt": True, "stream": True, "stream_options": {"include_usage": True}}
    payload = request.chat_payload() | stream
    if request.sampling.temperature > 0:  # a greedy answer may have to copy a long class name
        payload |= _NO_LOOPS
    return payload


def _next_token_payload(request: Request, begun: str) -> dict[str, Any]:
    """A request for the probabilities of the token after the beginning of an answer."""
    messages = request.chat_payload()["messages"]
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
        message = f"The local model gave no probabilities: {error!r}"
        raise TeacherUnavailableError(message) from error
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
    """The chunks of an answer; raises the error that one of them reports."""
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


def score_choices(choices: Sequence[str], next_tokens: NextTokens) -> tuple[float, ...]:
    """Log-probability of each answer, given that it is one of them.

    A model writes an answer token by token. Where the answers part, the probabilities of the next
    token are shared among those that may still come; where only one is left, it is sure. So the
    choices are the leaves of a trie, and one call of the model is enough for each branch of some
    probability. This is the distribution that sampling under a grammar of the choices draws from.

    Args:
        choices: n different answers; one may begin another, for an answer has to end.
        next_tokens: calls the model. Tokens that it does not return count as the least likely of
            those that it does.

    Returns:
        n log-probabilities, whose exponentials sum to one.
    """
    written = [choice.encode() + END for choice in choices]
    scores = [0.0] * len(choices)

    def descend(branch: list[int], prefix: bytes, log_mass: float) -> None:
        """Share the probability of a branch among its choices; `prefix` is what they begin with."""
        begun = _text(prefix)
        if len(branch) == 1 or log_mass < math.log(_MIN_MASS) or begun is None:
            for i in branch:
                scores[i] = log_mass - math.log(len(branch))
            return
        tokens = next_tokens(begun)
        least = min(tokens.values())
        twigs: dict[bytes, list[int]] = defaultdict(list)
        for i in branch:
            twigs[_likeliest(written[i][len(prefix) :], tokens)].append(i)
        # What no token leads to counts as the least likely token, once for each choice.
        weights = {
            token: tokens[token] if token else least + math.log(len(twig))
            for token, twig in twigs.items()
        }
        total = _log_sum(list(weights.values()))
        for token, twig in twigs.items():
            part = log_mass + weights[token] - total
            if token:
                descend(twig, prefix + token, part)
            else:
                for i in twig:
                    scores[i] = part - math.log(len(twig))

    descend(list(range(len(choices))), b"", 0.0)
    return tuple(scores)


def _likeliest(rest: bytes, tokens: Mapping[bytes, float]) -> bytes:
    """The likeliest token that an answer can go on with; empty where none is named."""
    fitting = [token for token in tokens if token and rest.startswith(token)]
    return max(fitting, key=lambda t: tokens[t], default=b"")


def _text(prefix: bytes) -> str | None:
    """The prefix as a prompt can hold it; None in the middle of a character."""
    try:
        return prefix.decode()
    except UnicodeDecodeError:
        return None


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
