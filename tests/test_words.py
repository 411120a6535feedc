"""The words of the code and of the docs are the field's, and a class name means one thing.

A newcomer should know every word without asking. A word of our own making joins `WORDS`, and goes.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for folder, pattern in (("src", "**/*"), ("docs", "**/*"), ("examples", "**/*"), (".", "*.md"))
    for path in (ROOT / folder).glob(pattern)
    if path.suffix in {".html", ".j2", ".js", ".md", ".py"} and path.name != "CHANGELOG.md"
)

# A regular expression, and the field's word for what was meant.
WORDS = (
    ("asking maker|worth asking", "prompt strategy"),
    ("booked|keeps? (the )?books", "metered, usage"),
    ("crowds?", "subsample"),
    ("deeds?", "actions"),
    ("desks?", "review session, teacher proxy"),
    ("employ(s|ed)?", "metered"),
    ("gone on with", "resumed"),
    ("heed(s|ed)?", "obey a stop signal"),
    ("honest", "out-of-fold"),
    ("likeness", "similarity"),
    ("lives(?! (in|on|at|under))", "attempts, sessions"),
    ("makes good", "inverse-Hessian factor"),
    ("placeless", "basename"),
    ("rooms|the room", "web UI, folder"),
    ("second look", "self-verification"),
    ("told of", "reported, tracked"),
    ("troubles?", "error, warning"),
    ("vouch(es|ed)?", "human-verified"),
    ("whose turn", "acquisition schedule"),
    ("wish(es|ed)?", "stop signal"),
    ("workshops?", "exporter"),
)
CLASSES = ("AskingMaker", "Guide", "Place", "Seen", "Supplies", "Tested", "Turns", "UnseenRows")


@cache
def spaced(path: Path) -> tuple[str, ...]:
    """Lines of a file, names as words: `_SecondLook` and `second_look` both have a second look."""
    text = path.read_text(encoding="utf-8")
    return tuple(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text).splitlines())


@cache
def classes() -> dict[str, list[str]]:
    """Where each public class of the sources is defined."""
    found = defaultdict(list)
    for path in (path for path in PAGES if path.suffix == ".py" and "src" in path.parts):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


@pytest.mark.parametrize(("word", "better"), WORDS, ids=[better for _, better in WORDS])
def test_a_word_of_our_own_is_not_used(word: str, better: str) -> None:
    pattern = re.compile(rf"\b({word})\b", re.IGNORECASE)
    uses = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PAGES
        for number, line in enumerate(spaced(path), start=1)
        if pattern.search(line)
    ]
    assert not uses, f"say instead: {better}\n" + "\n".join(uses)


def test_no_class_has_a_name_of_our_own() -> None:
    assert not {name: classes()[name] for name in CLASSES if name in classes()}


def test_a_class_name_means_one_thing() -> None:
    assert not {name: places for name, places in classes().items() if len(places) > 1}


def test_the_pages_were_found() -> None:
    assert len(PAGES) > 100
    assert len(classes()) > 100
