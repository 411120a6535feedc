"""Reading: every format, round trips of arbitrary texts, and problems told with their rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgkd.data import formats
from pgkd.data.cells import Problems
from pgkd.data.reading import open_table, read_texts, stream_texts
from pgkd.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = [("it's broken, again", "a"), ('he said "no"', "b"), ("two\nlines", "a"), ("ünï 漢字", "b")]


def as_csv(rows: list[tuple[str, str]], delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([("text", "label"), *rows])
    return out.getvalue().encode()


def as_jsonl(rows: list[tuple[str, str]]) -> bytes:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    return "\n".join(lines).encode()


def as_parquet(rows: list[tuple[str, str]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    table = pyarrow.table({"text": [t for t, _ in rows], "label": [name for _, name in rows]})
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


WRITERS: dict[str, Callable[[list[tuple[str, str]]], bytes]] = {
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "jsonl": as_jsonl,
    "parquet": as_parquet,
}


def read(path: Path) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    problems = Problems()
    return [(text, label) for _, text, label in cells(path, problems)], problems.sentences()


def cells(path: Path, problems: Problems) -> list[tuple[Any, ...]]:
    """Number, text and label of every row."""
    with open_table(path, ("text", "label"), problems) as table:
        return list(table.cells("text", "label"))


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_every_format_is_read_plain_and_gzipped(tmp_path: Path, kind: str, gzipped: bool) -> None:
    data = WRITERS[kind](ROWS)
    path = tmp_path / (f"rows.{kind}.gz" if gzipped else f"rows.{kind}")
    path.write_bytes(gzip.compress(data) if gzipped else data)
    assert read(path) == (ROWS, ())


def test_a_datasets_folder_is_read_and_class_numbers_get_their_names(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"text": ["x", "y", "z", "unlabelled"], "label": [1, 0, None, -1]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    named = [("x", "yes"), ("y", "no"), ("z", None), ("unlabelled", None)]
    assert read(tmp_path / "set") == (named, ())


def test_a_folder_of_something_else_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder saved by `datasets`"):
        read(tmp_path)


def test_a_datasets_folder_of_several_splits_has_to_be_narrowed(tmp_path: Path) -> None:
    import datasets

    split = datasets.Dataset.from_dict({"text": ["x"], "label": ["a"]})
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="several splits"):
        read(tmp_path / "set")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            st.sampled_from("ab"),
        ),
        min_size=1,
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_arbitrary_texts_come_back_as_they_were(
    tmp_path: Path, kind: str, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(WRITERS[kind](rows))
    assert read(path) == (rows, ())


@given(data=st.binary(max_size=300), kind=st.sampled_from(["csv", "tsv", "jsonl"]))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_arbitrary_bytes_give_rows_or_problems_and_nothing_else(
    tmp_path: Path, data: bytes, kind: str
) -> None:
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(data)
    cells(path, Problems())


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + as_csv(ROWS))
    assert read(path)[0] == ROWS


def test_another_encoding_is_told_once_with_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("text,label\nok,a\ncafé,b\nnaïve,b\n".encode("latin-1"))
    problems = read(path)[1]
    assert "line 3: byte 4 is not UTF-8" in problems[0]
    assert problems[1:] == ("and 1 more lines in another encoding",)


def test_rows_of_another_length_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nfine,a\none, two, three,a\nlonely\n", encoding="utf-8")
    rows, problems = read(path)
    assert rows == [("fine", "a")]
    assert "row 2 has 4 fields, the header 2" in problems[0]
    assert "row 3 has 1 field" in problems[1]


def test_an_unclosed_quote_is_told_and_does_not_raise(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\nfine,a\n"open,b\n', encoding="utf-8")
    rows, problems = read(path)
    assert rows == [("fine", "a")]
    assert "row 2: unexpected end of data" in problems[0]


def test_a_broken_header_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,"label\nfine,a\n', encoding="utf-8")
    assert "the header: unexpected end of data" in read(path)[1][0]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n\nfirst,a\n\nsecond,b\n\n", encoding="utf-8")
    numbers = [number for number, *_ in cells(path, Problems())]
    assert numbers == [1, 2]


def test_a_text_may_be_longer_than_the_csv_module_allows_by_default(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [("word " * 50_000, "a")]
    path.write_bytes(as_csv(rows))
    assert read(path) == (rows, ())


def test_bad_json_lines_are_told_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x", "label": "a"}\n{oops\n[1]\n', encoding="utf-8")
    rows, problems = read(path)
    assert rows == [("x", "a")]
    assert "row 2 is no JSON" in problems[0]
    assert "row 3 is no JSON object" in problems[1]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", f"text\nfine\n{'x' * 99}\n", "row 2: longer than 50 characters; is a quote"),
        ("rows.csv", 'text\nfine\n"open\n' + "line\n" * 20, "row 2: longer than 50 characters"),
        ("rows.csv", f"{'x' * 99}\n", "the header: longer than 50 characters"),
        ("rows.jsonl", f'{{"text": "fine"}}\n{{"text": "{"x" * 99}"}}\n', "line 2: longer than 50"),
        ("rows.txt", f"fine\n{'x' * 99}", "line 2: longer than 50 characters"),
    ],
)
def test_a_row_without_an_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, told: str
) -> None:
    monkeypatch.setattr(formats, "LONGEST_ROW", 50)
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        read_texts(tmp_path / name)


def test_many_rows_may_be_long_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST_ROW", 50)
    rows = [('two\nlines, and "quotes"', "a")] * 20
    (tmp_path / "rows.csv").write_bytes(as_csv(rows))
    assert read(tmp_path / "rows.csv") == (rows, ())


def test_rows_end_as_on_any_system_and_broken_bytes_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\rfirst,a\r\nsecond,b\nca\xe9,c\r")
    rows, problems = read(path)
    assert rows == [("first", "a"), ("second", "b"), ("ca\ufffd", "c")]
    assert "line 4: byte 3 is not UTF-8" in problems[0]


def test_a_file_is_read_as_its_rows_are_used(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "x"}\n' * 100 + "{oops\n", encoding="utf-8")
    problems = Problems()
    texts = stream_texts(path, "text", problems)
    assert next(texts) == "x"
    assert not problems
    assert len(list(texts)) == 99
    assert "row 101 is no JSON" in problems.sentences()[0]


def test_of_many_problems_few_are_kept_and_all_counted() -> None:
    problems = Problems()
    for number in range(1000):
        problems.add("rows without a text", f"row {number} has no text")
    told = problems.sentences()
    assert len(problems) == 1000
    assert told[-2:] == ("row 19 has no text", "and 980 more rows without a text")


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.gz"])
def test_an_unknown_format_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"\.csv, \.tsv, \.jsonl, \.parquet"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.parquet"])
def test_a_damaged_file_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what the name says")
    with pytest.raises(DataError, match="is not a whole"):
        read(tmp_path / name)


def test_a_gzip_file_cut_short_or_damaged_inside_is_an_error_that_says_so(tmp_path: Path) -> None:
    data = gzip.compress(as_csv(ROWS))
    damaged = data[:10] + b"\xff" + data[11:]  # no such kind of block
    for wrong in (data[:-12], damaged):
        (tmp_path / "rows.csv.gz").write_bytes(wrong)
        with pytest.raises(DataError, match="is not a whole gzip file"):
            read(tmp_path / "rows.csv.gz")


def test_a_missing_file_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="There is no file nowhere.csv"):
        read(Path("nowhere.csv"))


def test_texts_to_predict_need_no_label(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("body\nfirst\nsecond\n", encoding="utf-8")
    assert read_texts(tmp_path / "texts.csv", "body") == ["first", "second"]
    with pytest.raises(DataError, match="no column 'text'; it has 'body'"):
        read_texts(tmp_path / "texts.csv")


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz"])
def test_a_text_file_holds_one_text_a_line(tmp_path: Path, name: str) -> None:
    data = "\ufefffirst\r\n\nsecond\u2028still second\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert read_texts(tmp_path / name) == ["first", "second\u2028still second"]


def test_rows_without_a_text_to_predict_are_all_told(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "x"}\n{"text": " "}\n{"text": 3}\n{}\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_texts(path)
    assert caught.value.problems == (
        "row 2 has no text",
        "row 4 has no text",
        "row 3 has no text but a value of type int",
    )


@pytest.mark.parametrize("name", ["texts.txt", "texts.csv"])
def test_no_texts_to_predict_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("" if name.endswith("txt") else "text\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        read_texts(tmp_path / name)
