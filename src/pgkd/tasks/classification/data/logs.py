"""Calls of an LLM that somebody has logged already: what was asked, and what it answered.

A record is known by its fields, whoever has written it:

==========================  ==========================================================
chat and fine-tuning        ``messages``, the last of them by the assistant
OpenAI batch                ``custom_id`` with ``body`` (input) or ``response`` (output)
Anthropic batch             ``custom_id`` with ``params`` (input) or ``result`` (output)
Langfuse                    ``input`` and ``output``, of observations or traces
LangSmith                   ``inputs`` and ``outputs``, of runs
request and response        ``request`` and ``response``: the bodies of a call
prompt and completion       ``prompt`` and ``completion``
text and answer             columns of a table with such names, or those that are given
==========================  ==========================================================

All of a log is untrusted. What cannot be used is rejected with its line and the reason.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgkd.data.cells import Problems, is_broken
from pgkd.data.reading import open_table
from pgkd.errors import DataError
from pgkd.text import shown, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LONGEST = 100_000  # characters of a prompt or an answer
MOST_CALLS = 2_000_000
_LEVELS = 12  # of nesting between a record and its text
_PAIRS = (
    ("OpenAI batch", "body", "response"),
    ("Anthropic batch", "params", "result"),
    ("LangSmith", "inputs", "outputs"),
    ("Langfuse", "input", "output"),
    ("request and response", "request", "response"),
    ("prompt and completion", "prompt", "completion"),
)
_TEXTS = ("text", "prompt", "input", "question", "message", "query")
_ANSWERS = ("answer", "label", "completion", "output", "response", "class", "category", "intent")
_USERS = ("user", "human", "humanmessage")
_CHAT = ("role", "messages", "choices", "generations", "kwargs", "tool_calls")
_TEXT_BLOCKS = ("text", "output_text", "input_text")
_BLOCKS = (*_TEXT_BLOCKS, "message", "human", "ai", "tool_use", "thinking", "reasoning")
_USAGES = ("usage", "usageDetails", "usage_details")
_COUNTS = (
    ("prompt_tokens", "input_tokens", "input"),
    ("completion_tokens", "output_tokens", "output"),
)
_REQUESTS = ("body", "params", "messages", "input", "prompt", "contents")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was answered.

    Attributes:
        prompt: the last message of the user.
        answer: what the LLM said, or the arguments of the tool that it called, as JSON.
        origin: file and line, ``log.jsonl:17``.
    """

    prompt: str
    answer: str
    origin: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """What is left out of a log, and why; text and answer as far as they are known."""

    origin: str
    reason: str
    text: str = ""
    answer: str = ""


@dataclass
class Log:
    """What some files hold.

    Attributes:
        calls: those that were answered, in their order.
        rejected: records without a call, or without an answer.
        problems: lines that could not be read at all.
        records: how many were read.
        formats: records by their format.
        tokens: of prompts and answers, by model, as far as the records tell them.
    """

    calls: list[Call] = field(default_factory=list)
    rejected: list[Unusable] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    records: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_logs(
    paths: Sequence[Path], *, text_field: str | None = None, answer_field: str | None = None
) -> Log:
    """The calls of some logs, JSON lines or tables, whose formats are told by their records.

    Requests and answers of batches are joined by ``custom_id``, also from different files.

    Args:
        paths: the files; see `pgkd.data.formats` for what can be read.
        text_field: column of the text, or field of a prompt that is JSON.
        answer_field: column of the answer. A field of an answer that is JSON: see `find_labels`.

    Raises:
        DataError: a file is missing or damaged, or nothing in them is a call with an answer.
    """
    log = Log()
    asked: dict[str, tuple[str, str]] = {}
    answered: list[tuple[str, str, str]] = []
    twice: set[str] = set()
    failed: set[str] = set()
    for path in paths:
        with open_table(path, (), log.problems) as table:
            for number, record in table.records:
                for each in _unpacked(record):
                    origin = f"{path.name}:{number}"
                    log.records += 1
                    if log.records > MOST_CALLS:
                        raise DataError(
                            f"{path}: more than {MOST_CALLS:,} records. Import a part of them."
                        )
                    try:
                        kind, prompt, answer = _read(each, text_field, answer_field)
                    except ValueError as error:
                        log.rejected.append(Unusable(origin, str(error)))
                        failed.add(str(each.get("custom_id")))
                        continue
                    log.formats[kind] += 1
                    _count_tokens(each, log.tokens)
                    key = each.get("custom_id")
                    if prompt is not None and answer is not None:
                        log.calls.append(Call(prompt, answer, origin))
                    elif isinstance(key, str) and prompt is not None:
                        if asked.setdefault(key, (prompt, origin))[0] != prompt:
                            twice.add(key)
                    elif isinstance(key, str) and answer is not None:
                        answered.append((key, answer, origin))
                    else:
                        what = "no prompt" if prompt is None else "no answer"
                        log.rejected.append(Unusable(origin, what, prompt or "", answer or ""))
    _join(log, asked, answered, twice, failed)
    if not log.calls:
        names = ", ".join(map(str, paths))
        reasons = [f"{reason}: {n}" for reason, n in reasons_of(log.rejected).items()]
        raise DataError(
            f"{names}: no call with an answer was found. Give --text-field and --answer-field, "
            "or both files of a batch:",
            (*log.problems.sentences(), *reasons),
        )
    return log


def reasons_of(rejected: Iterable[Unusable]) -> dict[str, int]:
    """How many were left out for each reason, most frequent first."""
    return dict(Counter(each.reason.partition(":")[0] for each in rejected).most_common())


def _join(
    log: Log,
    asked: dict[str, tuple[str, str]],
    answered: list[tuple[str, str, str]],
    twice: set[str],
    failed: set[str],
) -> None:
    """Join requests and answers of batches."""
    for key, answer, origin in answered:
        if key in twice:
            reason = "custom_id of several requests: import one batch at a time"
            log.rejected.append(Unusable(origin, reason, "", answer))
        elif key not in asked:
            reason = "answer without its request: give the batch's input file, too"
            log.rejected.append(Unusable(origin, reason, "", answer))
        else:
            log.calls.append(Call(asked[key][0], answer, origin))
    known = failed.union(key for key, _, _ in answered)
    log.rejected += [
        Unusable(origin, "request without its answer: give the batch's output file, too", prompt)
        for key, (prompt, origin) in asked.items()
        if key not in known
    ]


def _unpacked(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of a reply of an API, which has them in a list; else the record itself."""
    for name in ("data", "runs"):
        inner = record.get(name)
        if isinstance(inner, list) and inner and all(isinstance(each, dict) for each in inner):
            yield from inner
            return
    yield record


def _read(
    record: dict[str, Any], text_field: str | None, answer_field: str | None
) -> tuple[str, str | None, str | None]:
    """Format, prompt and answer of a record; None for what it does not hold.

    Raises:
        ValueError: it is no call, or one that failed; the message says so.
    """
    traced = "traceId" in record or "trace_id" in record
    step = record.get("run_type") or (record.get("type") if traced else None)
    if step not in (None, "llm", "GENERATION"):  # a span or chain around the calls
        raise ValueError(f"no call of an LLM: {shown(step)}")
    if text_field in record or answer_field in record:
        text, answer = (
            text_field or _first(_TEXTS, record),
            answer_field or _first(_ANSWERS, record),
        )
        return "text and answer", _usable(record.get(text)), _usable(record.get(answer))
    if isinstance(messages := _unpack(record.get("messages")), list):
        kind, request = "chat", messages
        reply = next((record[n] for n in ("response", "choices", "output") if n in record), None)
        if reply is None and messages and _role(messages[-1]) not in _USERS:
            request, reply = messages[:-1], messages[-1]
        elif "choices" in record:
            reply = {"choices": reply}
    else:
        pair = next((p for p in _PAIRS if p[1] in record and p[2] in record), None)
        pair = pair or next((p for p in _PAIRS if p[1] in record or p[2] in record), None)
        if pair is None:
            pair = "text and answer", _first(_TEXTS, record), _first(_ANSWERS, record)
        kind, asked, said = pair
        request, reply = record.get(asked), record.get(said)
    if failure := _failure(record, reply):
        raise ValueError(f"the call failed: {shown(failure)}")
    prompt = _prompt(request, text_field)
    return kind, _usable(prompt), _usable(_answer(reply))


def _first(names: Sequence[str], record: dict[str, Any]) -> str:
    by_key = {name.strip().lower(): name for name in record if isinstance(name, str)}
    return next((by_key[name] for name in names if name in by_key), "")


def _failure(record: dict[str, Any], reply: Any) -> Any:
    """What a provider or a tracer says of a call that failed; None if it did not."""
    if record.get("error"):
        return record["error"]
    if record.get("level") == "ERROR":
        return record.get("statusMessage") or "ERROR"
    if isinstance(reply, dict):
        status = reply.get("status_code")
        if isinstance(status, int) and status >= 400:
            return f"status {status}"
        if "custom_id" in record and reply.get("type") not in (None, "succeeded", "message"):
            return reply["type"]
    return None


def _count_tokens(record: dict[str, Any], tokens: dict[str, tuple[int, int]]) -> None:
    """Add what a provider or a tracer says about the length of a call."""
    holder: Any = record
    for name in ("response", "result", "body", "message", "outputs"):
        inner = holder.get(name)
        holder = inner if isinstance(inner, dict) and "usage" not in holder else holder
    usage = next((holder[n] for n in _USAGES if isinstance(holder.get(n), dict)), record)
    counts = [next((usage[n] for n in names if n in usage), None) for names in _COUNTS]
    model = holder.get("model") or record.get("model") or ""
    if isinstance(model, str) and all(type(n) is int and 0 <= n < LONGEST for n in counts):
        before = tokens.get(model, (0, 0))
        tokens[model] = before[0] + counts[0], before[1] + counts[1]


def _usable(value: Any) -> str | None:
    """A text or number of a record as text, None where there is nothing to see.

    Raises:
        ValueError: it is too long, or has half a character.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, int | float):
        value = f"{value:g}"
    if not isinstance(value, str) or not text_key(value):
        return None
    if len(value) > LONGEST:
        raise ValueError(f"too long: more than {LONGEST:,} characters")
    if is_broken(value):
        raise ValueError("half a character (a lone surrogate)")
    return value.strip()


def _unpack(value: Any) -> Any:
    """What JSON in a cell holds, if that is a chat; else the value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return value
        first = inner[0] if isinstance(inner, list) and inner else inner
        first = first[0] if isinstance(first, list) and first else first
        if isinstance(first, dict) and (
            first.get("type") in _BLOCKS or any(name in first for name in _CHAT)
        ):
            return inner
    return value


def _role(message: Any) -> str:
    """Who speaks, by OpenAI's, Anthropic's or LangChain's field; empty if it is not told."""
    if not isinstance(message, dict):
        return ""
    kind = message.get("id")
    by_class = kind[-1] if isinstance(kind, list) and kind else ""
    return str(by_class or message.get("role") or message.get("type") or "").lower()


def _prompt(value: Any, text_field: str | None, levels: int = _LEVELS) -> str | None:
    """The last message of the user in a request."""
    value = _unpack(value)
    if isinstance(value, str) and text_field and value.lstrip().startswith("{"):
        try:
            value = json.loads(value).get(text_field, value)
        except (ValueError, RecursionError):
            return value
    if not levels or isinstance(value, str):
        return value if isinstance(value, str) else None
    if isinstance(value, list):
        if value and isinstance(value[0], list):  # LangChain: a batch of one
            return _prompt(value[0], text_field, levels - 1)
        said = [m for m in value if isinstance(m, str) or _role(m) in _USERS] or value[-1:]
        return _prompt(_answer(said[-1]), text_field, levels - 1) if said else None
    if isinstance(value, dict):
        if text_field in value:
            return _prompt(value[text_field], None, levels - 1)
        for name in _REQUESTS:
            if name in value:
                return _prompt(value[name], text_field, levels - 1)
        if len(value) == 1:
            return _prompt(next(iter(value.values())), text_field, levels - 1)
    return None


def _answer(value: Any, levels: int = _LEVELS) -> str | None:
    """The text of a message, of a reply, or of a tool's arguments; other objects as JSON."""
    value = _unpack(value)
    if not levels or value is None:
        return None
    if isinstance(value, list):
        found = [said for each in value if (said := _answer(each, levels - 1))]
        first = value[0] if value and isinstance(value[0], dict) else {}
        if first.get("type") in _TEXT_BLOCKS and "role" not in first:
            return "".join(found)
        return found[-1] if found else None
    if not isinstance(value, dict):
        return _usable(value)
    if value.get("type") == "tool_use":
        return json.dumps(value.get("input"))
    if calls := value.get("tool_calls"):
        call = calls[0] if isinstance(calls, list) and isinstance(calls[0], dict) else {}
        call = call["function"] if isinstance(call.get("function"), dict) else call
        arguments = call.get("arguments", call.get("args"))
        return arguments if isinstance(arguments, str) else json.dumps(arguments)
    for name in ("choices", "generations"):
        if isinstance(inner := value.get(name), list):
            return _answer(inner[0], levels - 1) if inner else None
    for name in ("body", "message", "kwargs", "data"):
        if isinstance(inner := value.get(name), dict):
            return _answer(inner, levels - 1)
    for name in ("messages", "output"):
        if isinstance(inner := value.get(name), list):
            return _answer(inner, levels - 1)
    if "content" in value:
        return _answer(value["content"], levels - 1)
    if value.get("type") in ("thinking", "redacted_thinking", "reasoning"):
        return None
    if isinstance(inner := value.get("text"), str) and len(value) <= 4:
        return inner
    return json.dumps(value, ensure_ascii=False)
