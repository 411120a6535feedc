"""Providers by name: pgkd's own, and those that installed packages bring.

A package adds one with an entry point of the group ``pgkd.teachers``; it names a callable that
takes the provider's settings as keyword arguments and returns a `Teacher`. Of the settings in the
section ``teacher`` of pgkd.yaml it is given those that its signature names.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from inspect import signature
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.bedrock import BedrockTeacher
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.local import LocalTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.teachers.surroundings import check_surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgkd.teachers.base import Teacher

_GROUP = "pgkd.teachers"
_OWN: dict[str, Callable[..., Teacher]] = {
    "anthropic": AnthropicTeacher,
    "bedrock": BedrockTeacher,
    "fake": FakeTeacher,
    "local": LocalTeacher,
    "openai": OpenAITeacher,
}


def providers() -> tuple[str, ...]:
    """Names of all providers that are at hand."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


def make_teacher(provider: str, **settings: Any) -> Teacher:
    """Make a teacher by its provider's name.

    Args:
        provider: one of `providers()`.
        settings: the provider's own, such as ``model``.

    Raises:
        ConfigError: there is no such provider, it does not take a setting, or the environment
            names no way to an endpoint.
    """
    maker = teacher_maker(provider)
    try:
        signature(maker).bind(**settings)
    except TypeError as error:
        raise ConfigError(f"Teacher provider '{provider}': {error}") from error
    if "base_url" in signature(maker).parameters:
        check_surroundings(settings.get("base_url"))
    return maker(**settings)  # outside: a TypeError of the provider's own is a bug to be seen


def teacher_maker(provider: str) -> Callable[..., Teacher]:
    """What makes the teachers of a provider; its signature says which settings it takes.

    Raises:
        ConfigError: there is no such provider.
    """
    if provider in _OWN:
        return _OWN[provider]
    for point in entry_points(group=_GROUP, name=provider):
        maker: Callable[..., Teacher] = point.load()
        return maker
    known = ", ".join(providers())
    raise ConfigError(f"There is no teacher provider '{provider}'. There are: {known}.")
