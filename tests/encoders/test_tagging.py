"""Tags of words: valid sequences, their probability, and the lower half of an encoder."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from pgkd.data.spans import Span, find_units
from pgkd.encoders.tagging import (
    decode,
    find_spans,
    fit_tagger,
    lower_half,
    make_tags,
    tag_names,
    tagged_spans,
)
from pgkd.encoders.transformer import load_encoder
from tests.conftest import of_kind

LABELS = ("artist", "genre")


def is_valid(tags: tuple[int, ...]) -> bool:
    pairs = pairwise((0, *tags))
    return all(tag % 2 or not tag or before in (tag - 1, tag) for before, tag in pairs)


def test_the_best_valid_sequence_is_found_with_its_probability() -> None:
    rng = np.random.default_rng(0)
    logits = [3 * rng.normal(size=(length, 5)) for length in (4, 1, 3, 4)]
    for rows, (tags, probability) in zip(logits, decode(logits), strict=True):
        sequences = [each for each in product(range(5), repeat=len(rows)) if is_valid(each)]
        scores = np.array([sum(rows[i, tag] for i, tag in enumerate(s)) for s in sequences])
        assert tuple(tags) == sequences[int(scores.argmax())]
        assert probability == pytest.approx(np.exp(scores.max()) / np.exp(scores).sum())
    [(tags, probability)] = decode(logits[2:3])
    assert tags == decode(logits)[2][0]
    assert probability == pytest.approx(decode(logits)[2][1])
    assert decode([]) == []


def test_tags_and_spans_are_the_same() -> None:
    text = "play miles davis, cool jazz"
    spans = [Span(5, 16, "artist"), Span(18, 27, "genre")]
    units = find_units(text)
    tags = make_tags(units, spans, LABELS)
    assert [tag_names(LABELS)[tag] for tag in tags] == [
        "O", "B-artist", "I-artist", "O", "B-genre", "I-genre",
    ]  # fmt: skip
    assert tagged_spans(units, tags.tolist(), LABELS) == spans
    logits = 9 * np.eye(5)[tags]
    assert find_spans([text], [logits], LABELS)[0][0] == spans


def test_texts_of_one_tag_are_learnt_too(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder), 32)
    texts = ["refund the fee", "parcel late"]
    for tags in ([0, 0, 0], [0, 0, 1]):
        gold = [np.array(tags), np.array([0, 0])]
        head = fit_tagger(encoder, texts, gold, 3, np.ones(2), 10.0)
        assert np.isfinite(head.weights).all()
        assert np.isfinite(head.bias).all()
        assert head.bias.argmax() == 0


def test_the_lower_half_of_the_layers_is_taken(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder), 32)
    assert lower_half(encoder) is encoder  # it has one layer
    deep = of_kind(encoder, "Bert", num_hidden_layers=4)
    half = lower_half(deep)
    assert (half.model.config.num_hidden_layers, len(half.model.encoder.layer)) == (2, 2)
    assert len(deep.model.encoder.layer) == 4
    [(_, features)] = half.token_features(["refund the fee"])
    assert features.shape[1] == 32
