"""Scores of outputs, what is wrong with them, and queries that may only read."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pgkd.errors import ConfigError, DataError
from pgkd.tasks.generation.config import GenerationConfig, MetricConfig
from pgkd.tasks.generation.data import GenerationExample
from pgkd.tasks.generation.metrics import OutputMetric
from pgkd.tasks.generation.task import Generation


def half(text: str, expected: str, output: str) -> Any:
    """A metric of the user's own."""
    return (0.5, "wrong tone") if expected != output else 1


def metric(kind: Any, **settings: Any) -> OutputMetric:
    return OutputMetric(MetricConfig(kind=kind, **settings))


@pytest.mark.parametrize(
    ("expected", "output", "value", "reason", "wrong"),
    [
        ({"a": 1, "b": {"c": "x"}}, {"b": {"c": "x"}, "a": 1}, 1, "", ()),
        ({"a": 1, "b": {"c": "x"}}, {"a": 1, "b": {"c": "y"}}, 0, "wrong value", ("b.c",)),
        ({"a": 1, "b": 2}, {"a": 1}, 0, "missing field", ("b",)),
        ({"a": 1}, {"a": 1, "c": 2}, 0, "extra field", ("c",)),
        ({"a": 1}, {"a": True}, 0, "wrong value", ("a",)),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, 0, "wrong value", ("a",)),
        ({"a": 1}, [1], 0, "invalid JSON", ("a",)),
    ],
)
def test_json(expected: Any, output: Any, value: float, reason: str, wrong: Any) -> None:
    found = metric("json").score("", json.dumps(expected), json.dumps(output))
    assert (found.value, found.reason, found.wrong) == (value, reason, wrong)


def test_f1_counts_fields() -> None:
    each = [metric("json").score("", '{"a": 1, "b": 2}', o) for o in ('{"a": 1}', "no")]
    assert metric("json").figures(each) == {"exact_match": 0, "field_f1": pytest.approx(2 / 5)}


def test_exact_regex_chrf_and_python() -> None:
    assert metric("exact").score("", "A  cat", "a cat").value == 1
    pattern = metric("regex", pattern=r"(?P<day>\w+) at (?P<hour>\d+)")
    assert pattern.parts("friday at 9") == ("day", "hour")
    assert pattern.score("", "friday at 9", "friday at 10").wrong == ("hour",)
    assert pattern.score("", "friday at 9", "soon").reason == "no match"
    chrf = metric("chrf")
    assert chrf.score("", "the cat", "the cat").value == 1
    assert 0 < chrf.score("", "the cat", "the hat").value < 1 > chrf.score("", "a", "b").value
    own = metric("python", function=f"{__name__}:half")
    assert own.score("", "a", "b").reason == "wrong tone"
    with pytest.raises(ConfigError, match="no_such_module"):
        metric("python", function="no_such_module:f").score("", "a", "b")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE city (name TEXT, people INTEGER)")
        base.executemany("INSERT INTO city VALUES (?, ?)", [("a", 1), ("b", 2), ("c", 3)])
    base.close()
    return path


def test_queries_are_compared_by_their_rows(database: Path) -> None:
    sql = metric("sqlite", database=database)
    expected = "SELECT name FROM city WHERE people > 1"
    assert sql.score("", expected, "SELECT name FROM city WHERE people IN (2, 3)").value == 1
    assert sql.score("", expected, "SELECT name FROM city ORDER BY people DESC LIMIT 2").value == 1
    assert sql.score("", expected, "SELECT name FROM city").wrong == ("select", "where")
    assert sql.score("", expected, "SELECT nam FROM city").reason == "query does not run"
    ordered = "SELECT name FROM city ORDER BY people"
    assert sql.score("", ordered, ordered + " DESC").reason == "other rows"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM city",
        "DROP TABLE city",
        "PRAGMA writable_schema = 1",
        "ATTACH 'other.sqlite' AS other",
        "SELECT 1; DELETE FROM city",
        "SELECT load_extension('x')",
        "INSERT INTO city SELECT 'd', 4",
        "VACUUM",
        "SELECT zeroblob(100000000000)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "\x00",
        "",
    ],
)
def test_a_query_may_only_read_and_not_for_long(database: Path, query: str) -> None:
    before = database.read_bytes()
    sql = metric("sqlite", database=database, seconds=0.2)
    assert sql.score("", "SELECT name FROM city", query).value == 0
    assert database.read_bytes() == before
    assert not (database.parent / "other.sqlite").exists()


def test_bad_rows_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"input": "a", "output": "{}"}, {"input": "b", "output": "{"}, {"input": ""},
            {"input": "c", "output": 3}, {"input": "d", "output": None}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = GenerationConfig.parse(
        {"task": "generation", "data": {"train": path}, "metric": {"kind": "json"}}
    )
    with pytest.raises(DataError) as error:
        Generation().load(config)
    told = str(error.value)
    assert "train row 2: invalid JSON" in told
    assert "row 3 has no text" in told
    assert "row 4: its output is no text" in told
    assert "row 5: it has no output" in told


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"metric": {"kind": "sqlite"}}, "needs metric.database"),
        ({"metric": {"kind": "regex", "pattern": "("}}, "valid regular expression"),
        ({"metric": {"kind": "python", "function": "os.system"}}, "metric.function"),
        ({"metric": {"kind": "bleu"}}, "metric.kind"),
        ({"student": {"encoder": "x"}}, "student.encoder"),
        ({"data": {"validation_fraction": 0}}, "validation_fraction"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        GenerationConfig.parse({"task": "generation", **settings})


def test_an_edited_output_is_checked() -> None:
    row = GenerationExample("a", '{"a": 1}', "1", metric=metric("json"))
    with pytest.raises(DataError, match="invalid JSON"):
        row.revised(None, "{")
    assert row.revised(None, '{"a": 2}').human_verified


def test_examples_and_data_sets_come_back() -> None:
    task = Generation()
    config = GenerationConfig.parse({"task": "generation", "metric": {"kind": "json"}})
    dataset = task.from_arrays(config, ["a", "b", "c"], ['{"x": 1}', '{"x": 2}', '{"x": 3}'])
    assert len(dataset.validation) == 1
    again = task.dataset(json.loads(json.dumps(dataset.to_json())))
    assert again == dataset
    assert again.train[0].metric is not None
    assert task.recognises(["input", "output"], [])
    assert not task.recognises(["text", "label"], [])
