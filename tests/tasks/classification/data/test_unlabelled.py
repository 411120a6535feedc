"""No text of the pool is trained on that is, or nearly is, a row of the user."""

from __future__ import annotations

from pgkd.curation import Reason
from pgkd.tasks.classification.data.dataset import TextDataset
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.data.pool import make_pool, without_rows

TASK = TextDataset(
    Taxonomy.from_names(["a", "b"]),
    (LabelledText("my card has not arrived yet", "a", "train:1"),),
    (LabelledText("why was I charged a fee for this payment", "b", "validation:1"),),
)


def test_texts_near_a_row_are_left_out_and_counted() -> None:
    pool = make_pool(
        [
            "My card has not arrived yet!!",
            "why was I charged a fee for that payment",
            "Why was I charged a fee, for this payment?",
            "how do I change my PIN",
        ]
    )
    found = without_rows(pool, TASK, near_duplicate=0.9)
    assert [text.text for text in found.texts] == ["how do I change my PIN"]
    assert found.rejected == {Reason.CONTAMINATION: 2, Reason.REAL_DUPLICATE: 1}


def test_what_was_left_out_before_stays_counted() -> None:
    pool = make_pool(["how do I change my PIN", "HOW do I change my PIN"])
    assert without_rows(pool, TASK, near_duplicate=0.9) == pool
    assert sum(pool.rejected.values()) == 1
