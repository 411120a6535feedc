"""An import defines things and runs nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pgkd

SOURCES = sorted(Path(pgkd.__file__).parent.rglob("*.py"))
STATEMENTS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign,
    ast.AnnAssign, ast.If,
)  # fmt: skip
NOT_AT_IMPORT = ("TYPE_CHECKING", "__name__ == '__main__'")


def named(paths: list[Path]) -> list[str]:
    return ["/".join(path.parts[-2:]) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=named(SOURCES))
def test_an_import_defines_and_does_nothing_else(path: Path) -> None:
    """The trap: `wandb.init` at import. A bare call at the top of a module is one."""
    if path.match("pgkd/apps/cli/__init__.py"):
        return  # it registers the commands with Typer
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, STATEMENTS), f"line {node.lineno} runs something"
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) in NOT_AT_IMPORT, f"line {node.lineno}"


def test_the_sources_were_found() -> None:
    assert len(SOURCES) > 50
