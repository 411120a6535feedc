"""Every setting of a run: bounded, described, and refused when unknown.

The YAML file, the command line's options and the Python API all end here. `Config.from_yaml`
reads, `Config.to_yaml` writes the file that a run folder keeps. A task adds its own settings.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pgkd.errors import ConfigError
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

# What YAML has no room for, or takes for the end of a line, unless it is escaped.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the first value would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[object, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (first := found.setdefault((key.tag, key.value), line)) != line:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' stands twice, in lines {first} and {line}"
                )
        return super().construct_mapping(node, deep=deep)


def read_yaml(text: str) -> Any:
    """Plain data of a YAML text.

    Raises:
        yaml.YAMLError: it is no YAML, or a key stands twice.
    """
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)


def quoted(value: str) -> str:
    """A text as YAML that reads back as the same text, whatever is in it."""
    # A JSON string is a YAML string, but for some characters.
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


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


class DataConfig(Section):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    train: Path | None = Field(default=None, description="labelled rows, any readable format")
    validation: Path | None = Field(default=None, description="validation rows, used as they are")
    unlabelled: Path | None = Field(
        default=None, description="inputs without outputs, which the teacher may be asked for"
    )
    validation_fraction: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default="auto",
        description="share of the rows held out where no validation file is given; auto: none "
        "below 1,000 rows, where cross-validation judges, else .2",
    )
    limit: int | None = Field(default=None, ge=2, description="use this many rows, drawn at random")
    on_conflict: Literal["error", "drop"] = Field(
        default="error",
        description="an input with two outputs, or in both files: refuse, or drop the row",
    )


class TeacherConfig(Section):
    """The LLM that writes. Keys come from the environment and are never written anywhere."""

    provider: str = Field(
        default="local",
        description="local, openai, anthropic, bedrock, fake or an installed plug-in",
    )
    model: str | None = Field(default=None, description="model name, or the path of a GGUF file")
    base_url: str | None = Field(
        default=None, description="openai, anthropic, bedrock: an endpoint"
    )
    api_key_env: str | None = Field(
        default=None,
        min_length=1,
        description="openai, anthropic: variable of the key; default: OPENAI_API_KEY, "
        "ANTHROPIC_API_KEY",
    )
    region: str | None = Field(
        default=None, description="bedrock: AWS region; default: AWS's own configuration"
    )
    threads: int | None = Field(
        default=None, ge=1, description="local: CPU threads; default: all cores"
    )
    context: int = Field(
        default=8192, ge=512, description="local: tokens of a prompt and its reply together"
    )
    temperature: float = Field(default=0.8, ge=0, le=2, description="randomness of what it writes")
    top_p: float = Field(default=0.95, gt=0, le=1, description="nucleus sampling")
    max_tokens: int | None = Field(
        default=None, ge=16, description="bound of one reply; default: from what is asked"
    )
    reasoning_effort: str | None = Field(
        default=None,
        min_length=1,
        description="openai: how long a reasoning model thinks, such as low; default: its own",
    )
    price_input: Decimal | None = Field(
        default=None, ge=0, description="US dollars a million prompt tokens; default: a price list"
    )
    price_output: Decimal | None = Field(
        default=None, ge=0, description="US dollars a million answer tokens; give both or neither"
    )
    price_cached: Decimal | None = Field(
        default=None,
        ge=0,
        description="US dollars a million prompt tokens that the provider has in its cache; "
        "default: price_input",
    )

    concurrency: int = Field(
        default=8, ge=1, le=64, description="calls at once; a local model takes one"
    )
    retries: int = Field(
        default=4, ge=0, le=20, description="of a call after a rate limit or server error"
    )
    longest: float = Field(
        default=600.0, gt=0, description="seconds of a request with all its retries and waits"
    )
    cache: Literal["auto", "off", "on", "read", "refresh"] = Field(
        default="auto",
        description="replies of other runs: auto uses them where somebody bills for a call",
    )
    batch: bool = Field(
        default=False,
        description="openai, anthropic: hand a round in together, for half the price, within a day",
    )

    @model_validator(mode="after")
    def _both_prices(self) -> TeacherConfig:
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("give price_input and price_output, or neither")
        if self.price_cached is not None and (
            self.price_input is None or self.price_cached > self.price_input
        ):
            raise ValueError("price_cached goes with a price_input, and is at most as much")
        return self


class BudgetConfig(Section):
    """Limits of a run's calls to the teacher, over all its sessions; empty: no limit."""

    usd: Decimal | None = Field(default=None, ge=0, description="US dollars")
    tokens: int | None = Field(default=None, ge=0, description="tokens of prompts and answers")
    calls: int | None = Field(default=None, ge=0, description="calls, also failed ones")


class CurationConfig(Section):
    """What is kept of what the teacher writes."""

    near_duplicate: float = Field(
        default=0.9,
        gt=0.5,
        le=1,
        description="texts at least this similar (edit ratio) are duplicates",
    )
    max_words: int | None = Field(default=None, ge=3, description="longer texts are dropped")
    repairs: int = Field(
        default=1, ge=0, le=5, description="times that invalid items are asked for again"
    )


class Config(Section):
    """All settings of a distillation run."""

    task: str = Field(default="classification", description="the kind of task")
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    curation: CurationConfig = CurationConfig()
    budget: BudgetConfig = BudgetConfig()
    rounds: int = Field(
        default=3, ge=0, le=1000, description="rounds at most; 0 trains the student alone"
    )
    patience: int = Field(
        default=2, ge=1, description="stop after this many rounds without a better loss"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of everything random")
    track: tuple[str, ...] = Field(
        default=(),
        description="trackers of the run: mlflow, wandb, tensorboard, otel or an "
        "installed plug-in; places and keys come from their own variables",
    )
    out: Path | None = Field(default=None, description="run folder; default: runs/NAME-OF-TRAIN")

    paths: ClassVar[tuple[str, ...]] = ("data.train", "data.validation", "data.unlabelled")
    """Settings that name files: in a YAML file they are relative to it."""

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Check plain data. `Config.parse` gives the settings of the task that it names.

        Raises:
            ConfigError: lists every unknown or out-of-bounds setting.
        """
        kind = cls._of_task(data)
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            lines = [
                f"{shown('.'.join(map(str, e['loc'])))}: {e['msg']}{hint(kind, e)}"
                for e in error.errors()
            ]
            raise ConfigError("These settings are wrong:\n  - " + "\n  - ".join(lines)) from None

    @classmethod
    def from_yaml(cls, path: Path, overrides: dict[str, Any] | None = None) -> Self:
        """Read a pgkd.yaml; paths in it are relative to the file.

        Args:
            path: the file.
            overrides: settings that win over the file's, nested like it.

        Raises:
            ConfigError: the file is missing, not YAML, or a setting is wrong.
        """
        try:
            data = read_yaml(path.read_text(encoding="utf-8-sig")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = shown(" ".join(str(error).split()), 300)  # YAML's reasons have several lines
            raise ConfigError(f"Cannot read settings from {path}: {reason}") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path} holds no mapping of settings. See: pgkd init DATA")
        for name in cls._of_task(data).paths:
            section, _, key = name.partition(".")
            values = data.get(section)
            if not isinstance(values, dict) or not isinstance(values.get(key), str):
                continue
            if values[key] not in ("auto", "off"):
                values[key] = str(path.parent / at_home(values[key]))
        return cls.parse(merge(data, overrides or {}))

    @classmethod
    def _of_task(cls, data: dict[str, Any]) -> type[Self]:
        if cls is not Config:
            return cls
        from pgkd.tasks import DEFAULT, make_task  # a task's settings are a subclass of these

        name = data.get("task") or DEFAULT
        kind: type[Self] = make_task(str(name)).config  # type: ignore[assignment]
        return kind

    def to_yaml(self) -> str:
        """The settings as YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested settings of `base`, replaced by those of `over`."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict)
        merged[key] = merge(below, value) if nested and isinstance(below, dict) else value
    return merged
