"""The tests of the docs notice what they are there for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.checks import check, check_span, commands_of
from tests.docs.pages import Block, read_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.desk import Desk

PAGE = """\
# A heading, `code` & more

Text with `pgkd cost RUN` and [a link](other.md#there).

<!-- where: RUN = runs/one; FILE = a.csv -->
<!-- hidden sh
touch a.csv
-->

    pgkd show RUN  # FILE

<!-- not run: for a reason -->

```python
import pgkd
```

## A heading, `code` & more
"""


def blocks(tmp_path: Path, text: str) -> list[Block]:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return list(read_page(path).blocks)


def work(desk: Desk, page: list[Block]) -> None:
    for block in page:
        desk.work(block)


def test_a_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    page = read_page(path)
    where = {"RUN": "runs/one", "FILE": "a.csv"}
    assert page.blocks == (
        Block("sh", "touch a.csv", 7, {}, where, shown=False),
        Block("sh", "pgkd show RUN  # FILE\n", 10, {}, where),
        Block("python", "import pgkd\n", 15, {"not run": "for a reason"}, where),
    )
    assert page.blocks[1].filled == "pgkd show runs/one  # a.csv\n"
    assert page.links == [("other.md#there", 3)]
    assert ("pgkd cost RUN", 3) in page.spans
    assert page.anchors == {"a-heading-code--more", "a-heading-code--more-1"}


def test_commands_are_taken_apart() -> None:
    code = "A=1 pgkd cost RUN | head  # why\nzcat a.gz > b && \\\n  echo 'x y'\n"
    assert list(commands_of(code)) == [
        ["pgkd", "cost", "RUN"], ["head"], ["zcat", "a.gz"], ["echo", "x y"],
    ]  # fmt: skip
    assert list(commands_of("$ echo a \\\n  b\na b\n")) == [["echo", "a", "b"]]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("sh", "pgkd distil"),
        ("sh", "pgkd distill --round 3"),
        ("sh", "pgkd distill --rounds three"),
        ("sh", "pgkd evaluate RUN"),
        ("sh", "pgkd models push"),
        ("sh", "make demonstration"),
        ("sh", "pip install 'pgkd[opensky]'"),
        ("sh", "python benchmarks/gone.py"),
        ("python", "import pgkd\npgkd.loads('x')"),
        ("python", "from pgkd import Gone"),
        ("yaml", "rounds: -1"),
        ("yaml", "teacher: {provder: local}"),
        ("yaml", "grid: [{data: [trec6], arms: [none]}]"),
        ("yaml", "- {name: a, about: b}"),
        ("", "a fence without a language"),
        ("ruby", "puts 1"),
    ],
)
def test_a_block_that_is_wrong_is_found_without_running_it(
    tmp_path: Path, language: str, code: str
) -> None:
    with pytest.raises(Exception, match="."):
        check(Block(language, code, 1), tmp_path)


@pytest.mark.parametrize("code", ["pgkd distil", "pgkd cost --jsn", "pgkd models push"])
def test_a_span_that_is_wrong_is_found(code: str) -> None:
    with pytest.raises(AssertionError, match="there is no"):
        check_span(code)


@pytest.mark.parametrize(
    "text",
    [
        "    pgkd show nowhere\n",
        "    false | cat\n",
        "```python\nassert not 1, 'one'\n```\n",
        "<!-- fails -->\n\n    true\n",
        "    echo one\n\n<!-- output -->\n\n```text\ntwo\n```\n",
        "<!-- file: a.yaml -->\n\n```yaml\nrounds: many\n```\n",
    ],
)
def test_a_page_that_does_not_hold_fails(tmp_path: Path, desk: Desk, text: str) -> None:
    with pytest.raises(Exception, match="."):
        work(desk, blocks(tmp_path, text))


def test_a_page_that_holds_passes(tmp_path: Path, desk: Desk) -> None:
    text = """\
<!-- file: said.py -->

```python
print("from  the file")
```

    python said.py

<!-- output -->

```text
from the file
```

```python
made = 1
```

<!-- hidden python
assert made == 1
-->
<!-- fails -->

    pgkd show nowhere
"""
    work(desk, blocks(tmp_path, text))
