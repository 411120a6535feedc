"""Each public name has an entry in the reference, and what is made from the code is up to date."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest
from docs.reference.make import PAGES

from pgkd import errors
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
ENTRY = re.compile(r"^::: (\S+)$", re.MULTILINE)
MODULES = (
    "pgkd",
    "pgkd.apps.bulk",
    "pgkd.apps.report",
    "pgkd.apps.server",
    "pgkd.data",
    "pgkd.export",
    "pgkd.integrations.datasets",
    "pgkd.integrations.tracking",
    "pgkd.runs",
    "pgkd.tasks.classification.evaluation",
    "pgkd.tasks.classification.students",
    "pgkd.teachers",
)


def entries() -> list[str]:
    pages = sorted(REFERENCE.glob("*.md"))
    return [name for page in pages for name in ENTRY.findall(page.read_text(encoding="utf-8"))]


def found(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def public() -> list[str]:
    listed = [f"{m}.{name}" for m in MODULES for name in importlib.import_module(m).__all__]
    raised = [f"pgkd.errors.{name}" for name, _ in inspect.getmembers(errors, inspect.isclass)]
    return [name for name in (*listed, *raised) if name != "pgkd.__version__"]


@pytest.mark.parametrize("name", public())
def test_a_public_name_has_an_entry(name: str) -> None:
    """Under this name, or under another one of the same thing."""
    assert any(found(entry) is found(name) for entry in entries()), f"no page of {REFERENCE} has it"


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_of_something_that_says_what_it_is(name: str) -> None:
    thing = found(name)
    if inspect.isclass(thing) or inspect.isfunction(thing):  # a type alias has no docstring
        assert (thing.__doc__ or "").strip()


def test_an_entry_stands_once() -> None:
    things = [id(found(entry)) for entry in entries()]
    assert len(things) == len(set(things))


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_up_to_date(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run: python -m docs.reference.make"
