"""What every class covers, in a line: asked of the teacher once, from all names and rows together.

Bare names mislead: the rows of ``get_physical_card`` ask for the PIN, and nobody can tell
"wellness" from "healthy living" by its name. A teacher that has seen all classes at once can say
where one ends and the next begins; every later prompt repeats its lines.

What the texts of a task are: asked of the teacher once, where the user does not say it.

A class name alone can mislead: asked for "age limit", a small teacher writes about driving
licences. One sentence that says "customers of an online bank" keeps it on the task.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from pgkd.errors import ConfigError
from pgkd.tasks.classification.prompts.writing import render
from pgkd.tasks.common.samples import closed, shorten
from pgkd.teachers.base import Message, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy

_ROWS = 3  # of a class in the prompt
_WORDS = 20  # of a row in the prompt
_CLASSES = 150  # of one request: an answer has to fit into a reply
_TOKENS_A_CLASS = 80  # of the answer
_CHARACTERS = 400  # of a line; the rest is cut off


@dataclass(frozen=True)
class Glossary:
    """What the texts are and what each class covers, as far as it is known.

    Attributes:
        about: what the texts of the task are, in a sentence.
        classes: a line for every class that has one, by class name.
    """

    about: str = ""
    classes: Mapping[str, str] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """YAML text, as `read_glossary` reads it."""
        data = {"about": self.about, "classes": dict(self.classes)}
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000)


def read_glossary(path: Path, taxonomy: Taxonomy) -> Glossary:
    """Read a glossary that a run wrote and a person may have edited.

    Raises:
        ConfigError: the file cannot be read, or names a class that the task lacks.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        glossary = Glossary(str(data.get("about") or ""), dict(data.get("classes") or {}))
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"Cannot read a glossary from {path}: {error}") from error
    unknown = [name for name in glossary.classes if name not in taxonomy.index]
    if unknown:
        raise ConfigError(f"The glossary {path} names classes that the task lacks: {unknown[:5]}")
    return glossary


def glossary_requests(
    taxonomy: Taxonomy, real: Sequence[LabelledText], instructions: str, *, seed: int
) -> list[Request]:
    """Ask what the texts are and what each class covers; of 150 classes at most in a request."""
    rows: dict[str, list[str]] = {name: [] for name in taxonomy.names}
    for row in real:
        if len(rows[row.label]) < _ROWS:
            rows[row.label].append(shorten(row.text, _WORDS))
    names = taxonomy.names
    requests = []
    for start in range(0, len(names), _CLASSES):
        part = names[start : start + _CLASSES]
        user = render(
            "glossary_user", classes=[(taxonomy[name], rows[name]) for name in part],
            others=[taxonomy[name].readable for name in names if name not in part],
            instructions=instructions,
        )  # fmt: skip
        entries = {str(i): _entry(name) for i, name in enumerate(part, start=1)}
        schema = closed({"about": {"type": "string"}, "classes": closed(entries)})
        sampling = Sampling(
            temperature=0.0, max_tokens=200 + _TOKENS_A_CLASS * len(part), seed=seed
        )
        messages = (Message("system", render("glossary_system")), Message("user", user))
        requests.append(Request(messages, schema, sampling, purpose="glossary"))
    return requests


def glossary_from(answers: Sequence[Any], taxonomy: Taxonomy, instructions: str) -> Glossary:
    """What replies say, as far as they say anything usable.

    Args:
        answers: the JSON of each reply; None where there is none.
        taxonomy: the classes.
        instructions: what the user says of the task, which stands before what a reply says.
    """
    about, classes = instructions, {}
    for answer in answers:
        if not isinstance(answer, dict):
            continue
        if not about and isinstance(answer.get("about"), str):
            about = _line(answer["about"])
        entries = answer.get("classes")
        for entry in entries.values() if isinstance(entries, dict) else ():
            name = entry.get("label") if isinstance(entry, dict) else None
            says = entry.get("description") if isinstance(entry, dict) else None
            if isinstance(name, str) and name in taxonomy.index and isinstance(says, str):
                classes[name] = _line(says)
    ordered = {name: classes[name] for name in taxonomy.names if classes.get(name)}
    return Glossary(about, ordered)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_CHARACTERS]


def _entry(name: str) -> dict[str, Any]:
    label = {"type": "string", "enum": [name]}
    return closed({"label": label, "description": {"type": "string"}})


_EXAMPLES = 12
_NAMES = 60  # names in the prompt; of more, so many are drawn
_MAX_TOKENS = 120


def description_request(taxonomy: Taxonomy, real: Sequence[LabelledText], *, seed: int) -> Request:
    """Ask for one sentence about the texts of a task.

    Args:
        taxonomy: the classes, whose names are shown.
        real: training rows, some of which are shown without their labels, of all classes alike.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    # One row a class: in a long tail, rows drawn at random would all be of the largest classes.
    of_class = {real[i].label: real[i] for i in rng.permutation(len(real)).tolist()}
    rows = list(of_class.values())[:_EXAMPLES]
    classes = rng.choice(len(taxonomy), size=min(_NAMES, len(taxonomy)), replace=False)
    user = render(
        "describe_user",
        classes=[taxonomy.classes[i].readable for i in sorted(classes)],
        texts=[shorten(row.text) for row in rows],
    )
    schema = {
        "type": "object",
        "properties": {"description": {"type": "string"}},
        "required": ["description"],
        "additionalProperties": False,
    }
    messages = (Message("system", render("describe_system")), Message("user", user))
    sampling = Sampling(temperature=0.0, max_tokens=_MAX_TOKENS, seed=seed)
    return Request(messages, schema, sampling, purpose="describe")
