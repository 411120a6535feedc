"""Settings: bounded, told all at once when wrong, and the same after a round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from pgkd import teachers
from pgkd.config import Config, merge
from pgkd.errors import ConfigError
from pgkd.tasks.classification.assembly import make_student_from
from pgkd.teachers import teacher_from
from pgkd.teachers.fake import FakeTeacher

if TYPE_CHECKING:
    from pathlib import Path


def test_every_setting_is_described() -> None:
    settings = Config.parse({})
    sections = [value for value in dict(settings).values() if isinstance(value, BaseModel)]
    assert len(sections) == 7
    for section in (settings, *sections):
        for name, field in type(section).model_fields.items():
            nested = isinstance(getattr(section, name), BaseModel)
            assert nested or field.description, f"{type(section).__name__}.{name} says nothing"


def test_unknown_and_out_of_bounds_settings_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.parse({"ruonds": 3, "samples": 0, "teacher": {"temperature": 9}})
    for part in ("ruonds", "samples", "teacher.temperature"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "prices",
    [{"price_cached": "0.1"}, {"price_input": 1, "price_output": 2, "price_cached": "1.5"}],
)
def test_a_price_of_cached_tokens_needs_a_whole_one_that_is_not_less(prices: Any) -> None:
    with pytest.raises(ConfigError, match="price_cached"):
        Config.parse({"teacher": prices})


def test_no_setting_names_a_test_file() -> None:
    assert not [name for name in Config.parse({}).data.model_dump() if "test" in name]


def test_settings_survive_their_file(tmp_path: Path) -> None:
    config = Config.parse({"rounds": 4, "data": {"train": tmp_path / "x.csv"}, "seed": 9})
    path = tmp_path / "pgkd.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert Config.from_yaml(path) == config


def test_paths_are_relative_to_the_file_and_options_win(tmp_path: Path) -> None:
    path = tmp_path / "pgkd.yaml"
    path.write_text("data: {train: rows.csv, limit: 5}\nrounds: 7\n", encoding="utf-8")
    config = Config.from_yaml(path, {"rounds": 1, "data": {"limit": 9}})
    assert config.data.train == tmp_path / "rows.csv"
    assert (config.rounds, config.data.limit) == (1, 9)


@pytest.mark.parametrize("text", ["- a list", "a: [", "text"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pgkd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pgkd\.yaml"):
        Config.from_yaml(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        Config.from_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": 1}, {"a": {"b": 3}}, {"a": {"b": 3}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
    ],
)
def test_merging(base: dict[str, Any], over: dict[str, Any], merged: dict[str, Any]) -> None:
    before = repr(base)
    assert merge(base, over) == merged
    assert repr(base) == before


@pytest.mark.parametrize(("given", "kept"), [("auto", "auto"), ("0.3", 0.3), (1, 1.0)])
def test_the_weight_of_written_texts_is_a_number_or_auto(given: Any, kept: Any) -> None:
    assert Config.parse({"synthetic_weight": given}).synthetic_weight == kept


@pytest.mark.parametrize("given", ["much", 0, -1, 11, None])
def test_another_weight_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="synthetic_weight"):
        Config.parse({"synthetic_weight": given})


def test_a_maker_is_given_the_settings_that_it_takes_and_no_none() -> None:
    """The trap: an if-chain over providers, which every new one has to be added to."""

    def maker(model: str = "own", *, threads: int = 2, base_url: str = "") -> None: ...

    given = Config.parse({"teacher": {"threads": 4}}).teacher.arguments_for(maker)
    assert given == {"threads": 4}


@pytest.mark.parametrize("kind", ["linear", "encoder"])
def test_every_student_is_made_from_the_same_section(kind: str) -> None:
    config = Config.parse({"student": {"kind": kind, "max_length": 64}, "seed": 3})
    assert make_student_from(config, ("a", "b")).kind == kind


def test_a_plug_in_is_given_its_settings_from_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {}

    def plug_in(model: str, *, base_url: str | None = None) -> FakeTeacher:
        made.update(model=model, base_url=base_url)
        return FakeTeacher()

    monkeypatch.setitem(teachers._OWN, "ours", plug_in)
    settings = {"provider": "ours", "model": "m", "base_url": "http://here"}
    teacher_from(Config.parse({"teacher": settings}))
    assert made == {"model": "m", "base_url": "http://here"}
    with pytest.raises(ConfigError, match="'ours'.*model"):
        teacher_from(Config.parse({"teacher": {"provider": "ours"}}))
