"""What the texts of a task are: asked of the teacher once, where the user does not say it.

A class name alone can mislead: asked for "age limit", a small teacher writes about driving
licences. One sentence that says "customers of an online bank" keeps it on the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pgkd.tasks.classification.prompts.asking import shorten
from pgkd.tasks.classification.prompts.render import render
from pgkd.teachers.base import Message, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy

_ROWS = 12
_CLASSES = 60  # names in the prompt; of more, so many are drawn
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
    rows = list(of_class.values())[:_ROWS]
    classes = rng.choice(len(taxonomy), size=min(_CLASSES, len(taxonomy)), replace=False)
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
