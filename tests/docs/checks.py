"""What is known of code without running it: commands, options, extras, targets, names, settings."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import typer
import yaml

from pgkd.apps.bench.plan import read_plan
from pgkd.apps.cli import app
from pgkd.config import Config
from pgkd.tasks.classification.data.examples import read_taxonomy
from tests.docs.pages import ROOT, SHELL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.docs.pages import Block

_BETWEEN = {"|", "||", "&&", ";", "&"}
_EXTRAS = re.compile(r"(?:pgkd|\.)\[([\w,-]+)\]")


def check(block: Block, folder: Path) -> None:
    """Look at a block without running it.

    Args:
        block: any of a page.
        folder: an empty folder, for a file that a reader of files has to be given.

    Raises:
        AssertionError: with what is wrong; so do the parsers that are asked.
    """
    match block.language:
        case "sh":
            for command in commands_of(block.code):
                check_command(command)
        case "python":
            check_python(block.code)
        case "yaml":
            check_settings(block.code, folder)
        case "toml":
            tomllib.loads(block.code)
        case "json":
            json.loads(block.code)
        case "text":
            pass
        case other:
            known = f"{SHELL}, python, yaml, toml, json or text"
            raise AssertionError(f"a block is '{other}'; it has to be {known}")


def shown_commands(code: str) -> str:
    """The commands of a block: all of it, or the lines after a prompt where it has some."""
    lines = code.replace("\\\n", "\0").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(prompted or lines).replace("\0", "\\\n")


def commands_of(code: str) -> Iterator[list[str]]:
    """The words of each command, without variables set before it and files after an arrow."""
    for line in shown_commands(code).replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _BETWEEN:
                command.append(word)
            elif command:
                yield _bare(command)
                command = []


def _bare(command: Sequence[str]) -> list[str]:
    words = list(command)
    while words and re.match(r"\w+=", words[0]):
        del words[0]
    arrows = [i for i, word in enumerate(words) if set(word) <= set("<>&")]
    return words[: arrows[0]] if arrows else words


def check_command(words: Sequence[str]) -> None:
    """A command of pgkd has its options, a target and an extra are there, a script exists."""
    match words:
        case ["pgkd", *arguments]:
            _parse(typer.main.get_command(app), "pgkd", arguments)
        case ["make", *targets]:
            named = {t for t in targets if "=" not in t and not t.startswith("-")}
            assert named <= make_targets(), f"make has no target {named - make_targets()}"
        case [program, *arguments] if program.endswith("pip"):
            wanted = {
                e for a in arguments for found in _EXTRAS.findall(a) for e in found.split(",")
            }
            assert wanted <= extras(), f"pgkd has no extra {wanted - extras()}"
        case [program, script, *_] if program.endswith("python") and "/" in script:
            assert (ROOT / script).is_file(), f"there is no {script}"


def _parse(command: Any, path: str, arguments: Sequence[str]) -> None:
    """Parse as the command line would, down to the command that would run."""
    below = getattr(command, "commands", {})
    if below and arguments and not arguments[0].startswith("-"):
        name, *rest = arguments
        assert name in below, f"there is no {path} {name}"
        _parse(below[name], f"{path} {name}", rest)
        return
    try:
        command.make_context(path, list(arguments))
    except typer.Exit:
        return  # --help
    except Exception as error:
        raise AssertionError(f"{path}: {error}") from error


def check_span(code: str) -> None:
    """A command within a sentence may lack arguments; its options have to be there."""
    command: Any = typer.main.get_command(app)
    path, *words = code.split()
    while words and (below := getattr(command, "commands", {})):
        name = words.pop(0)
        assert name in below, f"there is no {path} {name}"
        command, path = below[name], f"{path} {name}"
    known = {option for part in command.params for option in (*part.opts, *part.secondary_opts)}
    for option in re.findall(r"(?<!\S)--[\w-]+", code):
        assert option in known | {"--help"}, f"there is no {path} {option}"


def make_targets() -> set[str]:
    """Targets of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE))


def extras() -> set[str]:
    """Optional dependencies of pgkd."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def check_python(code: str) -> None:
    """It compiles, and what it imports, and takes from a module by name, is there."""
    tree = ast.parse(code)
    modules: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                module = importlib.import_module(name.name)
                modules[name.asname or name.name] = module
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module} has no {name.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = modules.get(node.value.id)
            assert owner is None or hasattr(owner, node.attr), ast.unparse(node)


def check_settings(code: str, folder: Path) -> None:
    """Settings of a run, a benchmark, or a list of classes: all three are YAML."""
    data = yaml.safe_load(code)
    path = folder / "block.yaml"
    path.write_text(code, encoding="utf-8")
    if isinstance(data, list):
        read_taxonomy(path)
    elif "grid" in data:
        read_plan(path)
    else:
        Config.parse(data)
