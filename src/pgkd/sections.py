"""A section of the settings, and what was probably meant by a setting whose name is unknown."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

if TYPE_CHECKING:
    from collections.abc import Callable


class Section(BaseModel):
    """Settings that belong together; none but those that are named here is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    if TYPE_CHECKING:  # a task's settings have more

        def __getattr__(self, name: str) -> Any: ...

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, data: Any) -> Any:
        """A section whose lines are all commented out is null in YAML: it has its defaults."""
        if not isinstance(data, dict):
            return data
        empty = {name for name in sections(cls) if data.get(name, ...) is None}
        return {name: value for name, value in data.items() if name not in empty}

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """Paths may begin with ~/, which no shell expands in a file."""
        if isinstance(value, Path):
            return Path(at_home(str(value)))
        return at_home(value) if isinstance(value, str) else value

    def arguments_for(self, maker: Callable[..., Any]) -> dict[str, Any]:
        """The settings of this section that a maker takes, as keyword arguments.

        The maker's own signature says which those are, so a new student or provider needs no
        branch anywhere. A setting that is None is left to the maker's default.
        """
        takes = signature(maker).parameters
        return {n: value for n, value in self if n in takes and value is not None}


def at_home(path: str) -> str:
    """A path whose ~/ is the folder of the user."""
    return str(Path.home() / path[2:]) if path.startswith("~/") else path


def hint(model: type[BaseModel], error: Any) -> str:
    """The known name that is nearest to an unknown one, in the same section or else anywhere.

    Args:
        model: the settings.
        error: one of pydantic's error details.
    """
    if error["type"] != "extra_forbidden":
        return ""
    *path, name = map(str, error["loc"])
    names = [".".join([*path, near]) for near in get_close_matches(name, _fields(model, path), n=1)]
    if not names:
        known = _all(model)
        names = [whole for whole in known if whole.rpartition(".")[2] == name]
        names = names or get_close_matches(".".join([*path, name]), known, n=1, cutoff=0.75)
    return f". Do you mean {' or '.join(names)}?" if names else ""


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The fields of a model that are models themselves."""
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        model = sections(model).get(part, model)
    return list(model.model_fields)


def _all(model: type[BaseModel]) -> list[str]:
    found = [name for name in model.model_fields if name not in sections(model)]
    for name, section in sections(model).items():
        found += [f"{name}.{key}" for key in section.model_fields]
    return found
