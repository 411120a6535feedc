"""The pages of the reference that are made from the code: settings and commands.

python -m docs.reference.make
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import typer
from pydantic import BaseModel
from typer.cli import get_docs_for_click

from pgkd.apps.cli import app
from pgkd.tasks import DEFAULT, make_task, tasks
from pgkd.tasks.classification.config import ClassificationConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic.fields import FieldInfo

HERE = Path(__file__).parent
_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}"}
_LENGTHS = {"min_length": "length ≥ {}", "max_length": "length ≤ {}"}

_SETTINGS = """\
# Settings

Every setting of pgkd.yaml, of `Config` and of the keyword arguments of `Distiller`. `pgkd init`
writes a file with the ones that most people change; the options of
[`pgkd distill`](command-line.md) win over it. A setting that is unknown or out of bounds is refused
with its name.

"""


_OTHERS = "Those that classification has not, or has with another default or meaning."


def settings_page() -> str:
    """Markdown tables of all settings, section by section."""
    top = {n: f for n, f in ClassificationConfig.model_fields.items() if _section(f) is None}
    parts = [_SETTINGS, "## At the top\n\n", _table(top)]
    for name, field in ClassificationConfig.model_fields.items():
        if (section := _section(field)) is not None:
            parts += [f"\n## {name}\n\n{section.__doc__}\n\n", _table(section.model_fields)]
    known = dict(_flat(ClassificationConfig))
    for kind in (name for name in tasks() if name != DEFAULT):
        own = {n: f for n, f in _flat(make_task(kind).config) if _differs(f, known.get(n))}
        parts += [f"\n## Of the task {kind}\n\n{_OTHERS}\n\n", _table(own)]
    return "".join(parts)


def _flat(config: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All settings by their dotted names."""
    for name, field in config.model_fields.items():
        if (section := _section(field)) is not None:
            yield from _flat(section, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _differs(field: FieldInfo, other: FieldInfo | None) -> bool:
    """Whether a setting is not as it is for classification."""
    if other is None:
        return True
    return (field.default, field.description) != (other.default, other.description)


def command_page() -> str:
    """What `pgkd --help` and the help of each command say, as Markdown."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="pgkd")
    for line, whole in _summaries(command, "pgkd"):
        text = text.replace(line, whole)
    # Typer begins with a heading of the program's name; ours is one of the page.
    return re.sub(r"\A# `pgkd`", "# Command line", text).rstrip() + "\n"


def _summaries(group: Any, path: str) -> Iterator[tuple[str, str]]:
    """The lines of Typer's lists of commands, which it cuts short, and what to have instead."""
    for name, command in getattr(group, "commands", {}).items():
        summary = (command.help or "").partition("\n")[0]
        anchor = f"{path}-{name}".replace(" ", "-")
        line = f"* `{name}`: {command.get_short_help_str()}\n"
        yield line, f"* [`{name}`](#{anchor}): {summary}\n"
        yield from _summaries(command, f"{path} {name}")


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "command-line.md": command_page,
}


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(fields: dict[str, FieldInfo]) -> str:
    lines = ["| setting | type | default | bounds | |", "|---|---|---|---|---|"]
    for name, field in fields.items():
        kinds = ", ".join(_kinds(field.annotation))
        bounds = ", ".join(_bounds([field, *get_args(field.annotation)]))
        cells = (f"`{name}`", kinds, f"`{_shown(field.default)}`", bounds, field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _kinds(annotation: Any) -> Iterator[str]:
    """The types of a setting, as a user writes them; an empty one goes without saying."""
    plain = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
    if annotation is type(None):
        return
    if annotation in plain:
        yield plain[annotation]
    elif get_origin(annotation) is tuple:
        yield f"list of {' or '.join(_kinds(get_args(annotation)[0]))}"
    elif getattr(annotation, "__name__", "") == "Decimal":
        yield "decimal"
    else:
        for part in get_args(annotation):
            if isinstance(part, str):
                yield f"`{part}`"
            elif isinstance(part, type) or get_args(part):
                yield from _kinds(part)


def _bounds(parts: list[Any]) -> Iterator[str]:
    """Bounds, of a field or of one of the types that it may have."""
    for part in parts:
        bounds: Sequence[Any] = getattr(part, "metadata", ()) or getattr(part, "__metadata__", ())
        for bound in bounds:
            for inner in getattr(bound, "metadata", [bound]):
                for name, words in {**_BOUNDS, **_LENGTHS}.items():
                    if (value := getattr(inner, name, None)) is not None:
                        yield words.format(value)


def _shown(value: Any) -> str:
    """A default, as YAML has it."""
    return json.dumps(getattr(value, "pattern", value))


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")
        print(HERE / name)


if __name__ == "__main__":
    main()
