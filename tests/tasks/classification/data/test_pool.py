"""The pool of unlabelled texts: read from any file, bounded, each text once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import DataError
from pgkd.tasks.classification.data.pool import (
    BEYOND_LIMIT,
    LONGEST_POOL_TEXT,
    REPEATED,
    TOO_LONG,
    make_pool,
    read_pool,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pool.csv", "text,label\nfirst,a\nsecond,\n"),
        ("pool.jsonl", '{"text": "first"}\n{"text": "second"}\n'),
        ("pool.txt", "first\n\nsecond\n"),
    ],
)
def test_any_readable_file_is_a_pool_and_labels_are_not_looked_at(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    pool = read_pool(tmp_path / name)
    assert [(text.text, text.id) for text in pool.texts] == [
        ("first", "pool:1"),
        ("second", "pool:2"),
    ]
    assert pool.rejected == {}


def test_each_text_is_kept_once_and_a_novel_is_left_out() -> None:
    pool = make_pool(["one", " ONE ", "two", "x" * (LONGEST_POOL_TEXT + 1), "Two"])
    assert [text.id for text in pool.texts] == ["pool:1", "pool:3"]
    assert pool.rejected == {REPEATED: 2, TOO_LONG: 1}


def test_of_more_texts_than_the_limit_as_many_are_drawn_each_as_likely() -> None:
    times: Counter[str] = Counter()
    for seed in range(400):
        pool = make_pool((f"text {i}" for i in range(20)), limit=5, seed=seed)
        assert len(pool.texts) == 5
        assert pool.rejected == {BEYOND_LIMIT: 15}
        times.update(text.id for text in pool.texts)
    assert len(times) == 20
    assert min(times.values()) > 60  # 100 expected, standard deviation below 9
    assert max(times.values()) < 140
    again = [make_pool((f"text {i}" for i in range(20)), limit=5, seed=3) for _ in range(2)]
    assert again[0] == again[1]


def test_a_stream_is_never_in_memory_as_a_whole() -> None:
    alive: list[int] = [0, 0]  # now, at most

    class Text(str):
        def __del__(self) -> None:
            alive[0] -= 1

    def stream() -> Iterator[str]:
        for i in range(500):
            alive[0] += 1
            alive[1] = max(alive)
            yield Text(f"text {i}")

    assert len(make_pool(stream(), limit=10).texts) == 10
    assert alive[1] <= 12


@pytest.mark.parametrize("text", ["", "  ", None, float("nan")])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"Text 2 of the unlabelled texts"):
        make_pool(["one", text])


def test_a_file_that_cannot_be_used_is_told_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "pool.csv"
    path.write_text('text\none\n" "\ntwo\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"row 2 has no text"):
        read_pool(path)
