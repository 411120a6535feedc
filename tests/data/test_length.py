"""Lengths: in words, or in characters where a script or a text has no words to count."""

from __future__ import annotations

import pytest

from pgkd.curation import Curator, Reason
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.prompts.labelling import label_prompt
from pgkd.tasks.classification.prompts.writing import GenerationSettings
from pgkd.tasks.common.samples import LengthTarget, answer_tokens, shorten
from pgkd.text import counts_characters, shortened

CHINESE = "我的包裹还没有到请帮我查询一下物流信息谢谢你们的帮助了"
THAI = "ฉันต้องการเปลี่ยนรหัสผ่านของบัญชีผู้ใช้ของฉัน"
JAPANESE = "パスワードを忘れたので、リセットの方法を教えてください。"
BLOB = "QUJD" * 5000
ENGLISH = "The parcel has not come yet, and nobody can say where it is."
KOREAN = "비밀번호를 잊어버려서 로그인할 수 없습니다"
GERMAN = "Donaudampfschifffahrtsgesellschaft kündigen"


@pytest.mark.parametrize("text", [CHINESE, THAI, JAPANESE, BLOB, "你好"])
def test_characters_are_the_unit_where_words_are_not(text: str) -> None:
    assert counts_characters(text)
    length = LengthTarget.of([text] * 5)
    assert length.unit == "characters"
    assert length.usual == min(len(text), 1000)


@pytest.mark.parametrize("text", [ENGLISH, KOREAN, GERMAN])
def test_words_are_the_unit_elsewhere(text: str) -> None:
    assert not counts_characters(text)
    assert LengthTarget.of([text] * 5) == LengthTarget.of(["w " * len(text.split())] * 5)


def test_a_few_long_words_do_not_change_the_unit() -> None:
    assert LengthTarget.of([ENGLISH] * 8 + [BLOB] * 2).unit == "words"


@pytest.mark.parametrize("text", [CHINESE, CHINESE * 4])  # a bound of so many words has no room
def test_an_answer_in_chinese_has_room(text: str) -> None:
    length = LengthTarget.of([text] * 5)
    assert answer_tokens(4, length) > 4 * len(text)
    request = GenerationSettings(length).request("r1-0001", "", "", ("a", "b"), 4)
    assert request.sampling.max_tokens > 4 * len(text)


@pytest.mark.parametrize("text", [BLOB, f"error {BLOB} at line 7", CHINESE * 900])
def test_what_a_prompt_shows_is_bounded_in_characters(text: str) -> None:
    assert len(shorten(text)) < 300
    assert shorten(text).endswith(" …")
    assert len(label_prompt(text)) < 1500


def test_texts_of_words_are_shown_as_before() -> None:
    assert shorten(ENGLISH) == ENGLISH
    assert shortened("word " * 100, 80) == " ".join(["word"] * 80)


def curate(real: str, text: str) -> tuple[str, ...]:
    rows = [LabelledText(f"{real} {i}", "a", f"train:{i}") for i in range(5)]
    return tuple(d.reason for d in Curator(rows, []).curate([LabelledText(text, "a")])[1])


def test_a_text_that_is_too_long_is_dropped_in_any_script() -> None:
    long = "".join(chr(0x4E00 + i) for i in range(400))
    assert curate(CHINESE, long) == (Reason.TOO_LONG,)
    assert curate(CHINESE, long[:60]) == ()
    assert curate(ENGLISH, long) == (Reason.TOO_LONG,)


def test_a_runaway_is_found_in_any_script() -> None:
    assert curate(CHINESE, "请帮我" * 20) == (Reason.RUNAWAY,)
    assert curate(ENGLISH, "call me now " * 20) == (Reason.RUNAWAY,)
