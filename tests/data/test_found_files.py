"""Files as other tools leave them: read aright, or told in one finding with its lines."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING

import pytest

from pgkd.apps.bulk.answers import write_answers
from pgkd.data.cells import Problems
from pgkd.data.reading import open_table, read_texts
from pgkd.errors import DataError
from pgkd.tasks.classification.data.dataset import load_dataset

if TYPE_CHECKING:
    from pathlib import Path

GOOD = [(f"text {i}", "ab"[i % 2]) for i in range(10)]


def lines_of(rows: list[tuple[str, str]], mark: str = ",") -> str:
    return "".join(f"{mark.join(row)}\n" for row in [("text", "label"), *rows])


def cells(path: Path) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    problems = Problems()
    with open_table(path, ("text", "label"), problems) as table:
        found = list(table.cells("text", "label")) if table.has(("text",), path, problems) else []
    return [(text, label) for _, text, label in found], problems.sentences()


def put(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_the_header_tells_what_separates(tmp_path: Path, name: str, mark: str) -> None:
    rows = [("one, two", "a"), ("three", "b")]
    assert cells(put(tmp_path / name, lines_of(rows, mark))) == (rows, ())


def test_the_line_that_tells_excel_the_separator_is_no_header(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.csv", "sep=;\r\n" + lines_of(GOOD, ";"))
    assert cells(path) == (GOOD, ())


def test_columns_of_a_semicolon_file_are_told_one_by_one(tmp_path: Path) -> None:
    told = cells(put(tmp_path / "rows.csv", "body;intent\nx;a\n"))[1]
    assert "it has 'body', 'intent'" in told[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.jsonl"])
def test_other_encodings_are_known_by_their_mark_or_zeros(
    tmp_path: Path, name: str, encoding: str
) -> None:
    rows = [("größer, 漢字", "a"), ("b", "b")]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("text", "label"), *rows])
    content = text.getvalue()
    if name.endswith("jsonl"):
        content = "".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in rows)
    data = content.encode(encoding)
    path = put(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    assert cells(path) == (rows, ())


def test_a_file_that_was_saved_twice_has_two_marks(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.csv", "\ufeff\ufeff" + lines_of(GOOD))
    assert cells(path) == (GOOD, ())


def test_a_utf_16_file_that_is_cut_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.csv", lines_of(GOOD).encode("utf-16")[:-3])
    assert "line 11: it holds what is not UTF-16" in cells(path)[1][0]


def test_an_old_encoding_is_one_finding(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.csv", lines_of([("café", "a")] * 30), "cp1252")
    told = cells(path)[1]
    assert len(told) == 2
    assert "line 2: byte 4 is not UTF-8; save the file as UTF-8" in told[0]
    assert "iconv -f WINDOWS-1252" in told[0]
    assert told[1] == "and 29 more lines in another encoding"


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_as_rows(tmp_path: Path, name: str, indent: int | None) -> None:
    records = [{"text": text, "label": label} for text, label in GOOD]
    path = put(tmp_path / name, "\ufeff " + json.dumps(records, indent=indent))
    assert cells(path) == (GOOD, ())


def test_a_json_array_that_is_none_is_one_finding(tmp_path: Path) -> None:
    problems = cells(put(tmp_path / "rows.json", '[{"text": "x", "label": "a"},\n{"text'))[1]
    assert len(problems) == 1
    assert "begins as a JSON array" in problems[0]


def test_a_pretty_printed_object_is_few_findings(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.jsonl", json.dumps({"rows": ["x"] * 100}, indent=1))
    assert len(cells(path)[1]) < 6


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", b'[{"text": "x", "label": "a"}]', "holds JSON"),
        ("rows.csv", b'{"text": "x", "label": "a"}\n', "holds JSON"),
        ("rows.jsonl", b"text,label\nx,a\n", "holds no JSON, but begins with 'text,label"),
        ("rows.csv", gzip.compress(b"text,label\nx,a\n", mtime=0), "is a gzip file"),
        ("rows.csv", b"PAR1....", "is a Parquet file"),
        ("rows.csv", b"PK\x03\x04....", "is a workbook"),
        ("rows.csv", b"", "has no rows"),
    ],
)
def test_a_file_with_another_suffix_is_one_finding(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(train=put(tmp_path / name, content))
    assert [told in problem for problem in caught.value.problems] == [True]


def test_a_line_of_a_megabyte_makes_a_short_message(tmp_path: Path) -> None:
    header = ",".join(f"column {i}\x1b[2J" for i in range(100_000))
    with pytest.raises(DataError) as caught:
        load_dataset(train=put(tmp_path / "rows.csv", f"{header}\nx\n"))
    assert len(str(caught.value)) < 2000
    assert "\x1b" not in str(caught.value)
    assert "and 99990 more" in str(caught.value)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
@pytest.mark.parametrize("second", ["text{}label", "\ufefftext{}label", '"text"{}"label"'])
def test_a_header_that_comes_again_is_told_with_its_line(
    tmp_path: Path, name: str, second: str
) -> None:
    mark = "," if name.endswith("csv") else "\t"
    content = lines_of(GOOD, mark) + second.format(mark) + "\n" + "x" + mark + "a\n"
    rows, told = cells(put(tmp_path / name, content))
    assert rows == [*GOOD, ("x", "a")]
    assert ["row 11 (line 12) repeats the header" in sentence for sentence in told] == [True]


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_rows_that_a_quote_swallows_are_told_with_their_lines(tmp_path: Path, name: str) -> None:
    mark = "," if name.endswith("csv") else "\t"
    stray = f'"a quote opens{mark}a\nin between{mark}b\nand closes"{mark}a\n'
    told = cells(put(tmp_path / name, lines_of(GOOD, mark) + stray))[1]
    assert ["row 11 (lines 12 to 14) takes lines" in sentence for sentence in told] == [True]


def test_the_label_may_stand_before_the_text(tmp_path: Path) -> None:
    good = "label,text\n" + "".join(f"{label},{text}\n" for text, label in GOOD)
    assert not cells(put(tmp_path / "rows.csv", good + 'a,"Hello\nyou"\n'))[1]
    told = cells(put(tmp_path / "rows.csv", good + 'a,"opens\nb,closes"\n'))[1]
    assert "row 11 (lines 12 to 13) takes lines" in told[0]


def test_texts_of_several_lines_are_no_stray_quotes(tmp_path: Path) -> None:
    rows = [*GOOD, ("Hello, I have\na problem, or two\nbye", "a")]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("text", "label"), *rows])
    assert cells(put(tmp_path / "rows.csv", text.getvalue())) == (rows, ())


NAMES = ["-1", "+1", "0", "=A", "@b", "'=A", "''-x", "-a", "'plain", "+1.5", "=1+1"]


@pytest.mark.parametrize("last", ["probability", "confidence"])
def test_what_is_synthetic_is_read_back_unchanged(tmp_path: Path, last: str) -> None:
    path = tmp_path / "answers.csv"
    write_answers(path, ("text", "label", last), [(f"{name} text", name, 0.5) for name in NAMES])
    assert cells(path) == ([(f"{name} text", name) for name in NAMES], ())
    assert read_texts(path) == [f"{name} text" for name in NAMES]
    written = path.read_text(encoding="utf-8")
    assert ",-1,0.5" in written, "a plain number is no formula"
    assert ",'=A,0.5" in written, "a spreadsheet runs nothing"


def test_an_apostrophe_of_the_user_stays(tmp_path: Path) -> None:
    path = put(tmp_path / "rows.csv", "text,label\n'=A,'-1\n")
    assert cells(path)[0] == [("'=A", "'-1")]


def test_parquet_uses_the_names_that_datasets_wrote(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = {"text": ["x", "y", "z"], "label": [1, 0, -1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "hub.parquet")
    assert cells(tmp_path / "hub.parquet")[0] == [("x", "yes"), ("y", "no"), ("z", None)]
    assert read_texts(tmp_path / "hub.parquet") == ["x", "y", "z"]


def test_a_class_number_without_a_name_stays_a_number(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    feature = {"names": ["no", "yes"], "_type": "ClassLabel"}
    metadata = json.dumps({"info": {"features": {"label": feature}}})
    table = pyarrow.table({"text": ["x", "y", "z"], "label": [1, 7, -2]})
    table = table.replace_schema_metadata({"huggingface": metadata})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert cells(tmp_path / "rows.parquet")[0] == [("x", "yes"), ("y", 7), ("z", -2)]


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": {"features": {"label": {}}}}'])
def test_other_metadata_of_parquet_is_no_error(tmp_path: Path, metadata: bytes) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": ["x", "y"], "label": [1.0, 0.0]})
    table = table.replace_schema_metadata({b"huggingface": metadata})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert len(cells(tmp_path / "rows.parquet")[0]) == 2


def test_a_number_has_one_spelling_in_every_format(tmp_path: Path) -> None:
    values = ["1", '"1"', "1.0", "true", '"true"']
    rows = [f'{{"text": "text {i}", "label": {values[i % 5]}}}' for i in range(20)]
    task = load_dataset(train=put(tmp_path / "rows.jsonl", "\n".join(rows)))
    assert task.taxonomy.names == ("1", "true")
