"""Providers by name, pgkd's own and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from pgkd import teachers
from pgkd.errors import ConfigError
from pgkd.teachers import make_teacher, providers
from pgkd.teachers.fake import FakeTeacher


def test_own_providers_are_known() -> None:
    assert {"fake", "local", "openai"} <= set(providers())
    assert isinstance(make_teacher("fake", seed=3), FakeTeacher)


def test_an_unknown_provider_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match='Unknown teacher provider "oracle".*fake, local, openai'):
        make_teacher("oracle")


def test_a_setting_that_a_provider_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="'fake'.*volume"):
        make_teacher("fake", volume=11)


def test_a_package_brings_its_own_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("ours", "pgkd.teachers:FakeTeacher", "pgkd.teachers")
    monkeypatch.setattr(teachers, "entry_points", lambda **_: [point])
    assert "ours" in providers()
    assert isinstance(make_teacher("ours"), FakeTeacher)


def test_a_bug_of_a_provider_is_not_taken_for_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(model: str = "m") -> FakeTeacher:
        raise TypeError(f"{model} + 1")

    monkeypatch.setitem(teachers._OWN, "broken", broken)
    with pytest.raises(TypeError, match="m \\+ 1"):
        make_teacher("broken")
