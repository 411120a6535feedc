"""The LLMs to learn from, behind one method; pgkd's own, and those of installed packages.

A package adds a provider with an entry point of the group ``pgkd.teachers``; it names a callable
that takes the provider's settings as keyword arguments and returns a `Teacher`. Of the settings in
the section ``teacher`` of pgkd.yaml it gets those that its signature names.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from inspect import signature
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Reply, Request, Sampling, Teacher
from pgkd.teachers.bedrock import BedrockTeacher
from pgkd.teachers.endpoint import check_environment
from pgkd.teachers.fake import FakeTeacher, RecordedTeacher
from pgkd.teachers.local import LocalTeacher
from pgkd.teachers.openai import OpenAITeacher

if TYPE_CHECKING:  # pydantic
    from pgkd.config import Config

__all__ = [
    "AnthropicTeacher",
    "BedrockTeacher",
    "FakeTeacher",
    "LocalTeacher",
    "Message",
    "OpenAITeacher",
    "RecordedTeacher",
    "Reply",
    "Request",
    "Sampling",
    "Teacher",
    "make_teacher",
    "providers",
    "teacher_from",
    "teacher_maker",
]

_GROUP = "pgkd.teachers"
_OWN: dict[str, Callable[..., Teacher]] = {
    "anthropic": AnthropicTeacher,
    "bedrock": BedrockTeacher,
    "fake": FakeTeacher,
    "local": LocalTeacher,
    "openai": OpenAITeacher,
}


def providers() -> tuple[str, ...]:
    """Names of all installed providers."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=_GROUP))}))


def make_teacher(provider: str, **settings: Any) -> Teacher:
    """Make a teacher by its provider's name.

    Args:
        provider: one of `providers()`.
        settings: the provider's own, such as ``model``.

    Raises:
        ConfigError: the provider is unknown or does not take a setting, or the environment has an
            invalid proxy or certificate.
    """
    maker = teacher_maker(provider)
    try:
        signature(maker).bind(**settings)
    except TypeError as error:
        raise ConfigError(f"Teacher provider '{provider}': {error}") from error
    if "base_url" in signature(maker).parameters:
        check_environment(settings.get("base_url"))
    return maker(**settings)  # outside: a TypeError of the provider's own is a bug to be seen


def teacher_maker(provider: str) -> Callable[..., Teacher]:
    """The callable that makes the teachers of a provider; its signature lists its settings.

    Raises:
        ConfigError: the provider is unknown.
    """
    if provider in _OWN:
        return _OWN[provider]
    for point in entry_points(group=_GROUP, name=provider):
        maker: Callable[..., Teacher] = point.load()
        return maker
    raise ConfigError(
        f'Unknown teacher provider "{provider}". Choose from: {", ".join(providers())}.'
    )


def teacher_from(config: Config) -> Teacher:
    """The teacher that a config describes.

    Raises:
        ConfigError: the provider is unknown, or lacks a setting that it needs.
    """
    provider = config.teacher.provider
    return make_teacher(provider, **config.teacher.arguments_for(teacher_maker(provider)))
