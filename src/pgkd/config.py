"""Every setting of a run: bounded, described, and refused when unknown.

The YAML file, the command line's options and the Python API all end here. `Config.from_yaml`
reads, `Config.to_yaml` writes the file that a run folder keeps.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pgkd.errors import ConfigError
from pgkd.quoting import shown
from pgkd.sections import Section, at_home, hint
from pgkd.yamls import read_yaml


class DataConfig(Section):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    train: Path | None = Field(default=None, description="labelled rows, any readable format")
    validation: Path | None = Field(default=None, description="validation rows, used as they are")
    unlabelled: Path | None = Field(
        default=None, description="texts without labels, which the teacher may be asked to label"
    )
    text_column: str = Field(default="text", min_length=1, description="column that holds the text")
    label_column: str = Field(
        default="label", min_length=1, description="column that holds the class"
    )
    classes: Path | None = Field(
        default=None, description="YAML list of classes; default: from the rows"
    )
    validation_fraction: Literal["auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default="auto",
        description="share of the rows held out where no validation file is given; auto: none "
        "below 1,000 rows, where cross-validation judges, else .2",
    )
    limit: int | None = Field(default=None, ge=2, description="use this many rows, drawn at random")
    on_conflict: Literal["error", "drop"] = Field(
        default="error",
        description="a text with two labels, or in both files: refuse, or drop the row",
    )


class StudentConfig(Section):
    """The classifier that is trained."""

    kind: Literal["encoder", "static", "linear"] = Field(
        default="encoder", description="which student"
    )
    encoder: str = Field(
        default="all-minilm-l6-v2", description="weights by name, hub name, or a folder"
    )
    recipe: Literal["auto", "frozen", "finetune"] = Field(
        default="auto",
        description="encoder only: train a head on frozen features, or all of it; auto tries both",
    )
    embeddings: str = Field(
        default="wordllama-256", description="static only: token vectors by name, or a folder"
    )
    max_length: int = Field(
        default=128, ge=8, le=8192, description="tokens of a text that are read"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: all cores")
    device: str = Field(
        default="auto",
        description="encoder only: cpu, cuda, cuda:N or mps; auto takes a GPU where there is one",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="encoder only: of fine-tuning; auto is bf16 on a CUDA device that has it",
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
            raise ValueError(f"there is no device '{name}': give auto, cpu, cuda, cuda:N or mps")
        return name


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
        default=4, ge=0, le=20, description="of a call after a rate limit or server trouble"
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
    """The most that a run's calls to the teacher may use, over all its lives; empty: no limit."""

    usd: Decimal | None = Field(default=None, ge=0, description="US dollars")
    tokens: int | None = Field(default=None, ge=0, description="tokens of prompts and answers")
    calls: int | None = Field(default=None, ge=0, description="calls, also failed ones")


class GuidanceConfig(Section):
    """What the teacher is told, and who decides what it writes."""

    mode: Literal["targeted", "paper"] = Field(
        default="targeted",
        description="pgkd allocates small requests, or the paper's one prompt a round",
    )
    folds: int = Field(default=5, ge=2, le=50, description="folds of the out-of-fold predictions")
    allocation: Literal["guided", "even"] = Field(
        default="guided",
        description="targeted: more texts for classes that the student gets wrong, or the same for "
        "all",
    )
    texts_per_request: Literal["auto"] | Annotated[int, Field(ge=1, le=50)] = Field(
        default="auto",
        description="targeted: texts of one request; auto: 12, of several related classes, or 4 of "
        "one class for a teacher that cannot do many at once",
    )
    shown_examples: int = Field(
        default=4, ge=1, le=20, description="targeted: real rows shown of a class"
    )
    few_shot: int = Field(default=16, ge=0, description="paper: labelled examples in the prompt")
    mined: int = Field(
        default=16, ge=0, description="paper: correct, wrong and hard rows, each this many"
    )
    instructions: str = Field(
        default="",
        max_length=4000,
        description="what the teacher should know of the task, e.g. who writes the texts to whom",
    )
    glossary: Literal["auto", "off"] | Path = Field(
        default="auto",
        description="targeted: what each class covers, in a line that every prompt shows: the "
        "teacher says it, or a file as a run writes it (glossary.yaml)",
    )


class PoolConfig(Section):
    """How a pool of unlabelled texts is used, where `data.unlabelled` names one."""

    share: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default="auto",
        description="share of the rounds that ask for labels of the pool, and not for new texts; "
        "auto: what helped more for its cost",
    )
    choice: Literal["guided", "random"] = Field(
        default="guided",
        description="which texts are labelled: where the student is unsure and no label is near; "
        "or any",
    )
    weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="weight of a text with the teacher's label, a real row's is 1; auto: by how "
        "often the teacher agrees with rows",
    )
    samples: int = Field(default=32, ge=1, description="labels asked for a round")
    shown: int = Field(
        default=0, ge=0, le=10, description="rows of each class that a question for a label shows"
    )
    limit: int = Field(
        default=100_000, ge=1, le=100_000, description="texts of the pool at most; drawn of more"
    )


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
    self_verification: bool = Field(
        default=False,
        description="the teacher reads each of its texts blind, and the text weighs by the "
        "probability of its class",
    )


class Config(Section):
    """All settings of a distillation run."""

    task: str = Field(default="classification", description="the kind of task")
    data: DataConfig = DataConfig()
    student: StudentConfig = StudentConfig()
    teacher: TeacherConfig = TeacherConfig()
    guidance: GuidanceConfig = GuidanceConfig()
    curation: CurationConfig = CurationConfig()
    pool: PoolConfig = PoolConfig()
    budget: BudgetConfig = BudgetConfig()
    exam: int = Field(
        default=64,
        ge=0,
        description="labelled rows that the teacher labels before it writes; 0 trusts it unseen",
    )
    texts_per_class: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        default="auto",
        description="texts asked for in all rounds, by the number of classes; auto: 20, and 640 in "
        "all at least; 320 in all for a teacher that cannot do many at once",
    )
    rounds: int = Field(
        default=3, ge=0, le=1000, description="rounds at most; 0 trains the student alone"
    )
    samples: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        default="auto",
        description="new texts asked for a round; auto: they double, up to texts_per_class",
    )
    patience: int = Field(
        default=2, ge=1, description="stop after this many rounds without a better loss"
    )
    class_list: bool = Field(
        default=True,
        description="train on class names and descriptions too, where cross-validation finds gain",
    )
    written_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="weight of a synthetic text, a labelled row's is 1; auto: by cross-validation",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of everything random")
    track: tuple[str, ...] = Field(
        default=(),
        description="where else the run is told of: mlflow, wandb, tensorboard, otel or an "
        "installed plug-in; places and keys come from their own variables",
    )
    out: Path | None = Field(default=None, description="run folder; default: runs/NAME-OF-TRAIN")

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Config:
        """Check plain data.

        Raises:
            ConfigError: lists every unknown or out-of-bounds setting.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [
                f"{shown('.'.join(map(str, e['loc'])))}: {e['msg']}{hint(cls, e)}"
                for e in error.errors()
            ]
            raise ConfigError("These settings are wrong:\n  - " + "\n  - ".join(lines)) from None

    @classmethod
    def from_yaml(cls, path: Path, overrides: dict[str, Any] | None = None) -> Config:
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
        files = data.get("data")
        for key in ("train", "validation", "classes", "unlabelled"):
            if isinstance(files, dict) and isinstance(files.get(key), str):
                files[key] = str(path.parent / at_home(files[key]))
        guidance = data.get("guidance")
        if isinstance(guidance, dict) and guidance.get("glossary", "auto") not in ("auto", "off"):
            guidance["glossary"] = str(path.parent / at_home(str(guidance["glossary"])))
        return cls.parse(merge(data, overrides or {}))

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
