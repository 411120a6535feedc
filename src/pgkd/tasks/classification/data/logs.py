"""Calls of an LLM that somebody has logged already: what was asked, and what it answered.

A record is known by its fields, whoever has written it:

- chats and fine-tuning files: ``messages``, of which the last is the assistant's
- batches, joined by ``custom_id``: ``body`` and ``response`` (OpenAI), ``params`` and ``result``
  (Anthropic)
- Langfuse: ``input`` and ``output``; LangSmith: ``inputs`` and ``outputs``
- ``request`` and ``response``, or ``prompt`` and ``completion``
- tables with a column of texts and one of answers

All of a log is untrusted. What cannot be used is rejected with its line and the reason.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pgkd.data.cells import Problems, is_broken, is_missing, name_of
from pgkd.data.reading import open_table
from pgkd.errors import DataError
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LONGEST = 50_000  # characters of a prompt or an answer
MOST_RECORDS = 2_000_000
_LEVELS = 16  # of nesting between a record and its text
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
_WRAPPERS = (
    "body", "params", "messages", "choices", "generations", "message", "kwargs", "input", "output",
    "prompt", "content",
)  # fmt: skip
_PLAIN = ("content", "prompt", "input")  # of these a string is what was said
_CHAT = ("role", "messages", "choices", "generations", "kwargs", "tool_calls")
_BLOCKS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")


class LoggedCall(NamedTuple):
    """A call that was answered.

    Attributes:
        text: the last message of the user; later the text in it.
        answer: what the LLM said, or the arguments of the tool that it called; later the class.
        origin: file and row, ``log.jsonl:17``.
    """

    text: str
    answer: str
    origin: str


class Unusable(NamedTuple):
    """What is left out, and why; text and answer as far as they are known."""

    origin: str
    reason: str
    text: str | None = None
    answer: str | None = None

    @classmethod
    def of(cls, call: LoggedCall, reason: str) -> Unusable:
        """A call that is left out."""
        return cls(call.origin, reason, call.text, call.answer)


@dataclass
class Log:
    """What some files hold.

    Attributes:
        calls: those that were answered, in their order.
        rejected: records that hold no such call.
        problems: rows that could not be read at all.
        formats: number of calls by format.
        tokens: of prompts and answers, as far as the records tell.
    """

    calls: list[LoggedCall] = field(default_factory=list)
    rejected: list[Unusable] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    formats: Counter[str] = field(default_factory=Counter)
    tokens: int = 0


def read_logs(
    paths: Sequence[Path], text_field: str | None = None, answer_field: str | None = None
) -> Log:
    """The calls of some logs, whose formats are told by their records.

    Args:
        paths: JSON lines or tables; requests and answers of batches may be in different files.
        text_field: column of the text, or its name among the inputs of a chain.
        answer_field: column of the answer.

    Raises:
        DataError: a file is missing or damaged, is too long, or no call in them was answered.
    """
    log = Log()
    asked: defaultdict[str, list[LoggedCall]] = defaultdict(list)
    answered: list[tuple[str, LoggedCall]] = []
    for number, (origin, record) in enumerate(_records(paths, log.problems)):
        if number == MOST_RECORDS:
            raise DataError(f"{origin}: more than {MOST_RECORDS:,} records. Import some of them.")
        key = record.get("custom_id")
        try:
            kind, text, answer = _read(record, text_field, answer_field)
        except (ValueError, RecursionError) as error:
            log.rejected.append(Unusable(origin, str(error)))
            asked.pop(str(key), None)
            continue
        log.formats[kind] += 1
        log.tokens += _tokens(record)
        if text and answer:
            log.calls.append(LoggedCall(text, answer, origin))
        elif key is not None and text:
            asked[str(key)].append(LoggedCall(text, "", origin))
        elif key is not None and answer:
            answered.append((str(key), LoggedCall("", answer, origin)))
        else:
            log.rejected.append(Unusable(origin, "no text or no answer", text, answer))
    for key, call in answered:
        if len(requests := asked.get(key, [])) == 1:
            log.calls.append(call._replace(text=requests[0].text))
        else:
            reason = f"{'several requests' if requests else 'no request'} of its custom_id"
            log.rejected.append(Unusable(call.origin, reason, None, call.answer))
    for key in asked.keys() - {key for key, _ in answered}:
        log.rejected += [Unusable(c.origin, "request without answer", c.text) for c in asked[key]]
    if not log.calls:
        reasons = (f"{reason}: {n}" for reason, n in reasons_of(log.rejected).items())
        raise DataError(
            f"No call in {', '.join(map(str, paths))} was answered. Of a batch give both files, of "
            "a table --text-field and --answer-field:",
            (*log.problems.sentences(), *reasons),
        )
    return log


def reasons_of(rejected: Iterable[Unusable]) -> dict[str, int]:
    """How many were left out for each reason, the most frequent one first."""
    return dict(Counter(each.reason.partition(":")[0] for each in rejected).most_common())


def _records(paths: Iterable[Path], problems: Problems) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of files; those of a reply of an API, too, which has them in a list."""
    for path in paths:
        with open_table(path, (), problems) as table:
            for number, record in table.records:
                inner = record.get("data", record.get("runs"))
                for each in inner if isinstance(inner, list) else [record]:
                    if isinstance(each, dict):
                        yield f"{path.name}:{number}", each


def _read(
    record: dict[str, Any], text_field: str | None, answer_field: str | None
) -> tuple[str, str | None, str | None]:
    """Format, prompt and answer of a record; None for what it does not hold.

    Raises:
        ValueError: it is no call, or one that failed.
    """
    traced = "traceId" in record or "trace_id" in record
    step = record.get("run_type") or (record.get("type") if traced else None)
    if step not in (None, "llm", "GENERATION"):  # a chain or span around the calls
        raise ValueError(f"no call of an LLM: {shown(step)}")
    pair = next((p for p in _PAIRS if p[1] in record and p[2] in record), None)
    pair = pair or next((p for p in _PAIRS if p[1] in record or p[2] in record), None)
    messages = _unpacked(record.get("messages"))
    kind, request, reply = "chat", messages, record.get("choices")
    if text_field in record or answer_field in record or not (pair or isinstance(messages, list)):
        kind = "text and answer"
        request = record.get(text_field or _column(_TEXTS, record))
        reply = record.get(answer_field or _column(_ANSWERS, record))
    elif pair:
        kind, request, reply = pair[0], record.get(pair[1], messages), record.get(pair[2])
    elif reply is None:
        request, reply = messages[:-1], messages[-1:]
    if isinstance(request, dict) and text_field in request:
        request = request[text_field]
    result = reply if isinstance(reply, dict) else {}
    status = result.get("status_code", result.get("type"))
    failed = record.get("level") == "ERROR" or status in ("errored", "canceled", "expired")
    if failed or record.get("error") or (isinstance(status, int) and status >= 400):
        raise ValueError(f"the call failed: {shown(record.get('error') or status or 'ERROR')}")
    users = [text for role, text in _said(request) if role in ("", *_USERS)]
    answers = [text for role, text in _said(reply) if role not in _USERS]
    return kind, _usable(users), _usable(answers)


def _column(names: Sequence[str], record: dict[str, Any]) -> str:
    by_key = {str(name).strip().lower(): name for name in record}
    return next((by_key[name] for name in names if name in by_key), "")


def _usable(texts: Sequence[str]) -> str | None:
    """The last text; None where there is nothing to see.

    Raises:
        ValueError: it is too long, or has half a character.
    """
    if not texts or is_missing(texts[-1]):
        return None
    if len(texts[-1]) > LONGEST:
        raise ValueError(f"more than {LONGEST:,} characters")
    if is_broken(texts[-1]):
        raise ValueError("half a character (a lone surrogate)")
    return texts[-1].strip()


def _unpacked(value: Any) -> Any:
    """What JSON in a cell holds, if that is a chat; else the value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            inner = first = json.loads(value)
        except (ValueError, RecursionError):
            return value
        while isinstance(first, list) and first:
            first = first[0]
        if isinstance(first, dict) and (
            first.get("type") in _BLOCKS or any(name in first for name in _CHAT)
        ):
            return inner
    return value


def _said(value: Any, role: str = "", levels: int = _LEVELS) -> list[tuple[str, str]]:
    """Who said what, in a message, a request or a reply of any provider; other objects as JSON."""
    value = _unpacked(value)
    if not levels or value is None:
        return []
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and value[0].get("type") in _BLOCKS:
            texts = [text for each in value for _, text in _said(each, role, levels - 1)]
            return [(role, "".join(texts))]
        return [said for each in value for said in _said(each, role, levels - 1)]
    if not isinstance(value, dict):
        return [(role, name_of(value))]
    kind = value.get("id")  # LangChain's: ["langchain", "schema", "messages", "HumanMessage"]
    by_class = kind[-1] if isinstance(kind, list) and kind else None
    role = str(value.get("role") or by_class or role).lower()
    if value.get("type") in _THOUGHTS:
        return []
    if value.get("type") == "tool_use":
        return [(role, json.dumps(value.get("input")))]
    if calls := value.get("tool_calls"):
        call = calls[0] if isinstance(calls, list) and isinstance(calls[0], dict) else {}
        call = call["function"] if isinstance(call.get("function"), dict) else call
        found = call.get("arguments", call.get("args"))
        return [(role, found if isinstance(found, str) else json.dumps(found or {}))]
    for name in _WRAPPERS:
        if isinstance(value.get(name), dict | list) or (name in value and name in _PLAIN):
            return _said(value[name], role, levels - 1)
    if "text" in value and (value.get("type") or len(value) == 1):
        return [(role, str(value["text"]))]
    return [(role, json.dumps(value, ensure_ascii=False))]


def _tokens(record: dict[str, Any]) -> int:
    """How long a call was, as a provider or a tracer says; 0 where neither does."""
    holder: Any = record
    for name in ("response", "result", "body", "message", "outputs"):
        holder = holder[name] if isinstance(holder.get(name), dict) else holder
    usage = holder.get("usage") or record.get("usageDetails") or record.get("usage_details")
    usage = usage if isinstance(usage, dict) else record
    names = "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "input", "output"
    return sum(n for name in names if type(n := usage.get(name)) is int and 0 < n < 10**7)
