"""Prompts as templates: text with holes, kept apart from the code that fills them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Prompts are plain text for a model; HTML escaping would put entities into them.
    return Environment(
        loader=PackageLoader("pgkd.tasks.classification.prompts", "templates"),
        undefined=StrictUndefined,
        trim_blocks=False,
        autoescape=False,  # noqa: S701
    )


def render(template: str, /, **values: Any) -> str:
    """Fill a template.

    Args:
        template: name of a ``.j2`` file, without the suffix.
        values: every hole of the template; a missing one raises.
    """
    return _environment().get_template(f"{template}.j2").render(**values).strip()
