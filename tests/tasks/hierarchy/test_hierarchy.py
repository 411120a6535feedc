"""Hierarchical classification: read, trained, asked, judged, exported; a story each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd import Config, Distiller, FakeTeacher, RunFolder
from pgkd.errors import ConfigError, DataError, StudentError
from pgkd.evaluation import judge_models
from pgkd.tasks import make_task
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.mining import mine
from pgkd.tasks.classification.students.correlated import fit_correlated_head
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from pgkd.tasks.hierarchy.learner import HierarchyEvaluation, HierarchyPrompts, leaf_texts
from pgkd.tasks.hierarchy.students import HierarchyLinearStudent
from pgkd.tasks.hierarchy.tree import Tree, count_answers, measure_paths
from pgkd.teachers.base import Reply, Request

WORDS = {
    "money > card > lost": "lost stolen missing wallet",
    "money > card > pin": "pin code digits forgotten",
    "money > loan": "loan borrow interest mortgage",
    "travel > flight": "plane flight boarding airport",
    "travel > hotel": "hotel room night bed",
}
TASK = make_task("hierarchy")


def rows(n: int, start: int = 0) -> tuple[list[str], list[str]]:
    """So many different rows of each leaf."""
    texts, labels = [], []
    for i in range(start, start + n):
        for label, words in WORDS.items():
            w = words.split()
            texts.append(
                f"case {i * 37 % 1000}: {w[i % 4]} or {w[(i * 3 + 1) % 4]} on {i * 7 % 31}"
            )
            labels.append(label)
    return texts, labels


def make_config(out: Path, **more: Any) -> Config:
    return Config.parse(
        {
            "task": "hierarchy", "student": {"kind": "linear", **more.pop("student", {})},
            "data": more.pop("data", {}), "guidance": {"folds": 3, "texts_per_request": 3},
            "exam": 0, "rounds": 2, "samples": 6, "out": out, **more,
        }
    )  # fmt: skip


def teach(request: Request) -> str:
    """New texts of every leaf that is asked for, of the right words."""
    found: dict[str, Any] = {"doubtful": []}
    for key, part in (request.schema or {})["properties"].items():
        if "texts" not in part.get("properties", {}):
            continue
        [label], n = part["properties"]["label"]["enum"], part["properties"]["texts"]["minItems"]
        salt = sum(map(ord, request.messages[1].content)) + int(key)
        words = WORDS.get(label, "odd").split()
        texts = [
            f"help {words[(salt + i) % len(words)]} {salt % 977}{i} {label[-3:]}" for i in range(n)
        ]
        found[key] = {"label": label, "texts": texts}
    return json.dumps(found)


def distil(
    config: Config, reply: Callable[[Request], str | Reply] = teach, **data: Any
) -> RunFolder:
    return Distiller(config, teacher=FakeTeacher(reply)).fit(*rows(4), **data).run_


def files(run: RunFolder) -> dict[str, bytes]:
    found = ["examples.jsonl", "result.json"]
    for which in ("best", "last"):
        found += [f"students/{which}/{name}" for name in ("student.json", "head.safetensors")]
    return {name: (run.path / name).read_bytes() for name in found}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return distil(make_config(tmp_path_factory.mktemp("hierarchy") / "run"))


def test_a_run_learns_and_its_student_answers_along_paths(run: RunFolder) -> None:
    assert len(run.synthetic()) > 8
    answers = run.student("best").answers(rows(3, start=50)[0])
    for answer in answers:
        assert " > ".join(answer["path"]) == answer["label"] == answer["leaf"]
        assert answer["probability"] == answer["leaf_probability"]
    examples = [LabelledText(*pair) for pair in zip(*rows(3, start=50), strict=True)]
    figures = TASK.figures(answers, examples)
    assert next(iter(figures)) == "accuracy"
    assert figures["accuracy"] > 0.8
    assert figures["accuracy_level_1"] >= figures["accuracy_level_2"]
    json.dumps(answers)


@pytest.mark.parametrize("calls", range(5))
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_killed_at_any_call_it_ends_with_the_same_bytes(
    run: RunFolder, tmp_path: Path, calls: int, kind: type[BaseException]
) -> None:
    asked: list[Request] = []

    def dies(request: Request) -> str:
        if len(asked) == calls:
            raise kind
        asked.append(request)
        return teach(request)

    config = make_config(tmp_path / "run")
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        distil(config, dies)
    again: list[Request] = []

    def counts(request: Request) -> str:
        again.append(request)
        return teach(request)

    resumed = distil(config, counts)
    assert files(resumed) == files(run)
    assert not {r.key for r in asked} & {r.key for r in again}, "nothing is paid twice"


@pytest.mark.parametrize(
    "reply",
    ["", "no JSON", "[" * 100_000, "x" * 10_000_000, '{"1": {"label": "money", "texts": ["a b"]}}',
     '{"samples": [{"label": "loan", "text": "a loan"}]}', '{"1": {"label": 3, "texts": [null]}}',
     '{"1": {"label": "moon > dark side", "texts": ["one", "two"]}}', '{"samples": "many"}'],
    ids=range(9),
)  # fmt: skip
def test_a_hostile_reply_is_rejected(tmp_path: Path, reply: str) -> None:
    run = distil(make_config(tmp_path / "run", rounds=1), lambda request: reply)
    assert not run.synthetic()
    assert run.read_json("result.json")["best"] == 0


def test_a_weak_teacher_does_no_harm(tmp_path: Path) -> None:
    def wrong(request: Request) -> str:
        shifted = dict(zip(WORDS, [*list(WORDS)[1:], next(iter(WORDS))], strict=True))
        data = json.loads(teach(request))
        for part in (p for p in data.values() if isinstance(p, dict)):
            words = WORDS[shifted[part["label"]]].split()
            part["texts"] = [f"{w} {t[-9:-4]}" for w, t in zip(words, part["texts"], strict=False)]
        return json.dumps(data)

    examples = [LabelledText(*pair) for pair in zip(*rows(6, start=70), strict=True)]

    def accuracy(run: RunFolder) -> float:
        answers = run.student("best").answers([row.text for row in examples])
        return TASK.figures(answers, examples)["accuracy"]

    alone = accuracy(distil(make_config(tmp_path / "alone", rounds=0)))
    assert accuracy(distil(make_config(tmp_path / "weak", samples=10), wrong)) >= alone - 0.05


@pytest.mark.parametrize(
    ("cells", "data"),
    [
        (["money > card > lost", "travel > hotel"], {}),
        (["money / card / lost", "travel / hotel"], {}),
        (["money::card::lost", "travel::hotel"], {"separator": "::"}),
        ([["money", "card", "lost"], ["travel", "hotel"]], {}),
        (["lost", "hotel"], {"classes": list(WORDS)}),
        (["card > lost", "hotel"], {"classes": list(WORDS)}),
    ],
)
def test_labels_come_in_many_forms(tmp_path: Path, cells: list[Any], data: dict[str, Any]) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [{"text": f"text {i}", "label": cell} for i, cell in enumerate(cells)]
    file.write_text("\n".join(map(json.dumps, lines)))
    given: dict[str, Any] = {"train": file, **data}
    if tree := given.pop("classes", None):
        given["classes"] = tmp_path / "classes.yaml"
        given["classes"].write_text(json.dumps(tree))
    config = make_config(tmp_path / "run", data=given)
    dataset: Any = TASK.load(config)
    assert [row.label for row in dataset.train] == ["money > card > lost", "travel > hotel"]
    assert len(TASK.choices(dataset)) == (5 if tree else 2)
    assert [row.label for row in TASK.read(file, config)] == [row.label for row in dataset.train]
    assert TASK.recognises(["text", "label"], lines) == (
        "money" in cells[0] and isinstance(cells[0], str)
    )


def test_a_path_may_end_early(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    paths = [["money", "card", "lost"], ["money", "loan", None], ["money"]]
    lines = [{"text": f"text {i}", "label": path} for i, path in enumerate(paths)]
    file.write_text("\n".join(map(json.dumps, lines)))
    dataset: Any = TASK.load(make_config(tmp_path / "run", data={"train": file}))
    assert {row.label for row in dataset.train} == {"money > card > lost", "money > loan", "money"}


def test_a_class_list_gives_parents_and_leaves_without_rows(tmp_path: Path) -> None:
    classes, file = tmp_path / "classes.yaml", tmp_path / "rows.csv"
    classes.write_text(
        "- {name: money}\n- {name: card, parent: money}\n- {name: travel}\n"
        "- {name: lost, parent: card, description: It is gone.}\n- {name: other, parent: card}\n"
        "- {name: other, parent: travel}\n"
    )
    file.write_text("text,label\ngone,lost\nwhat,travel > other\n")
    data = {"train": file, "classes": classes}
    dataset: Any = TASK.load(make_config(tmp_path / "run", data=data))
    names = ("money > card > lost", "money > card > other", "travel > other")
    assert TASK.choices(dataset) == names
    assert dataset.taxonomy[names[0]].description == "It is gone."
    file.write_text("text,label\ngone,lost\nwhat,other\n")
    with pytest.raises(DataError, match="in several branches") as error:
        TASK.load(make_config(tmp_path / "run", data=data))
    assert "train row 2" in str(error.value)


def test_all_bad_rows_are_listed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    bad = [["money", "", "lost"], [], None, "a >  > b", ["x > y", "z"], ["deep"] * 30, {"a": 1}]
    lines = [{"text": f"text {i}", "label": label} for i, label in enumerate(bad)]
    file.write_text("\n".join(map(json.dumps, [*lines, {"text": "", "label": "a > b"}])))
    with pytest.raises(DataError) as error:
        TASK.load(make_config(tmp_path / "run", data={"train": file}))
    for number in range(1, 9):
        assert f"row {number}" in str(error.value)


def test_wrong_settings_and_trees_are_refused_plainly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"student\.inner_below"):
        make_config(tmp_path / "run", student={"inner_below": 2})
    assert (
        make_config(tmp_path / "run", student={"inner_below": False}).student.inner_below == "off"
    )
    (tmp_path / "loop.yaml").write_text("- {name: a, parent: b}\n- {name: b, parent: a}\n")
    (tmp_path / "rows.csv").write_text("text,label\none,a\ntwo,b\n")
    data: dict[str, Any] = {"train": tmp_path / "rows.csv"}
    with pytest.raises(DataError, match="no label has a level above it"):
        TASK.load(make_config(tmp_path / "run", data=data))
    data["classes"] = tmp_path / "loop.yaml"
    with pytest.raises(DataError, match="not clear"):
        TASK.load(make_config(tmp_path / "run", data=data))
    with pytest.raises(StudentError, match="not a folder"):
        TASK.load_student(tmp_path / "rows.csv")


def test_an_unsure_answer_is_an_inner_node() -> None:
    tree = Tree(tuple(WORDS))
    [sure, unsure, lost] = tree.answers(
        np.array([[.9, .05, .02, .02, .01], [.4, .3, .2, .1, 0], [.3, 0, .25, .25, .2]]), .6
    )  # fmt: skip
    assert (sure["label"], sure["probability"]) == ("money > card > lost", 0.9)
    assert (unsure["label"], unsure["probability"]) == ("money > card", 0.7)
    assert (unsure["leaf"], unsure["leaf_probability"]) == ("money > card > lost", 0.4)
    assert lost["path"] == ["money"], "the first level is always answered"
    labels = ["money > card > pin"] * 3
    found = measure_paths(count_answers([sure, unsure, lost], labels))
    assert found["hierarchical_f1"] == pytest.approx(2 * (2 + 2 + 1) / (3 + 2 + 1 + 9))
    assert (found["accuracy"], found["accuracy_level_2"]) == (0, 1)
    wrong = np.tile([0.45, 0.35, 0.1, 0.05, 0.05], (6, 1))
    assert tree.choose_threshold(wrong, labels[:1] * 6) > 0.45
    assert tree.choose_threshold(wrong, ["money > card > lost"] * 6) == 0


def test_the_threshold_is_chosen_out_of_fold_and_saved(tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", rounds=0, student={"inner_below": "auto"})
    run = distil(config)
    student, [first] = run.student("best"), run.read_json("result.json")["rounds"]
    assert student.inner_below == "auto"
    assert first["validation"]["inner_below"] == student.threshold
    assert 0 <= first["validation"]["leaves_answered"] <= 1
    student.threshold = 0.7
    student.save(tmp_path / "student")
    assert TASK.load_student(tmp_path / "student").threshold == 0.7
    data = json.loads((tmp_path / "student" / "student.json").read_text())
    data["threshold"] = "high"
    (tmp_path / "student" / "student.json").write_text(json.dumps(data))
    with pytest.raises(StudentError, match="damaged"):
        TASK.load_student(tmp_path / "student")


def test_labels_of_a_branch_share_weights() -> None:
    texts, labels = rows(4)
    shared = HierarchyLinearStudent(tuple(WORDS), sharing=1.0).fit(texts, labels).head.weights
    flat = HierarchyLinearStudent(tuple(WORDS)).fit(texts, labels).head.weights

    def likeness(weights: Any) -> float:
        return float(np.corrcoef(weights)[0, 1])  # of two cards

    assert likeness(shared) > likeness(flat) + 0.1
    tuned = HierarchyLinearStudent(tuple(WORDS)).tune(texts, labels, seed=0)
    assert tuned.clone().fit(texts, labels).predict(texts) == labels


def test_without_sharing_the_head_is_that_of_classification() -> None:
    rng = np.random.default_rng(0)
    features, gold = rng.normal(size=(60, 8)), rng.integers(0, 4, 60)
    names, weights = tuple(WORDS), rng.random(60)
    settings = HeadSettings(C=3.0, class_weight="balanced")
    ours = fit_correlated_head(features, gold, np.eye(5), settings, weights)
    theirs = fit_head(features, [names[i] for i in gold], names, settings, weights)
    np.testing.assert_allclose(ours.weights, theirs.weights, atol=5e-3)
    assert np.isneginf(ours.bias[4])


def test_hundreds_of_leaves_with_a_row_or_none(tmp_path: Path) -> None:
    tree = [f"branch{i} > twig{j} > leaf{k}"
            for i in range(10) for j in range(5) for k in range(6)]  # fmt: skip
    paths = [f"branch{i % 10} > twig{i % 5} > leaf{i % 6}" for i in range(60)]
    config = make_config(tmp_path / "run", rounds=0)
    texts = [f"text about {path.replace(' > ', ' ')} {i}" for i, path in enumerate(paths)]
    done = Distiller(config, teacher=FakeTeacher(teach)).fit(texts, paths, classes=tree)
    assert len(done.student_.classes) == 300
    assert done.student_.answers(["text about branch9 twig4 leaf5"])[0]["path"][0] == "branch9"


def test_mistakes_within_a_branch_weigh_less_and_siblings_come_first(run: RunFolder) -> None:
    names, gold = tuple(WORDS), [*WORDS, *WORDS]
    said = [1, 0, 3, 4, 3, *range(5)]
    real = [LabelledText(f"text {i}", label, f"train:{i}") for i, label in enumerate(gold)]
    probabilities = np.eye(5)[said] * 0.96 + 0.008
    metrics = evaluate(probabilities, gold, names)
    mined = mine(real, probabilities, names)
    found = HierarchyEvaluation(np.zeros(10), metrics, metrics, mined)
    config: Any = run.config()
    from pgkd.tasks.classification.assembly import PromptContext, make_strategy
    from pgkd.tasks.classification.prompts.glossary import Glossary

    strategy = make_strategy(
        config, run.dataset(), np.arange(20) % 3, PromptContext(Glossary, lambda: True),
        TASK._parts(),  # type: ignore[attr-defined]
    )  # fmt: skip
    assert isinstance(strategy, HierarchyPrompts)
    errors = strategy._errors(found)
    # Two of three levels are right for the cards, none for a loan that went to travel.
    assert errors["money > card > lost"] == pytest.approx((1 / 3 + 1) / 3)
    assert errors["money > loan"] == pytest.approx((1 + 1) / 3)
    nearest = strategy._find_nearest()
    assert nearest["money > card > pin"][:2] == ("money > card > lost", "money > loan")
    assert nearest["travel > hotel"][0] == "travel > flight"
    assert [m["expected"] for m in found.mistakes][:1] == ["money > loan"]
    assert {"accuracy", "hierarchical_f1", "log_loss"} <= found.figures.keys()


def test_prompts_and_label_texts_name_the_path(run: RunFolder) -> None:
    dataset: Any = run.dataset()
    texts = [text.text for text in leaf_texts(dataset.taxonomy)]
    assert texts == [name.split(" > ")[-1] for name in dataset.taxonomy.names]
    estimate = TASK.estimate(run.config(), dataset, FakeTeacher())
    assert any("travel > hotel" in request.messages[-1].content for request, _ in estimate)


@pytest.mark.parametrize("kind", ["linear", "encoder"])
def test_an_export_answers_as_its_student(tmp_path: Path, tiny_encoder: Path, kind: str) -> None:
    student = {"kind": kind, "inner_below": 0.5}
    if kind == "encoder":
        student |= {"encoder": str(tiny_encoder), "recipe": "frozen"}
    run = distil(make_config(tmp_path / "run", rounds=0, student=student))
    best, texts = run.student("best"), rows(2, start=30)[0]
    for name in TASK.formats(best):
        (folder := tmp_path / name).mkdir()
        details = json.loads(json.dumps(TASK.export(best, run.dataset(), name, folder)))
        answers = TASK.load_export(folder, name, details, 1).answers(texts)
        for answer, own in zip(answers, best.answers(texts), strict=True):
            assert answer.keys() == own.keys()
            assert answer["leaf_probability"] == pytest.approx(own["leaf_probability"], abs=0.02)


def test_a_resample_without_the_deepest_level_is_no_obstacle() -> None:
    examples = [LabelledText("a loan", "money > loan"), LabelledText("a pin", "money > card > pin")]
    tree = Tree(tuple(WORDS))
    answers = tree.answers(np.array([[0.1, 0.1, 0.8, 0, 0], [0.1, 0.9, 0, 0, 0]]), 0)
    found = judge_models(TASK.figures, {"before": answers, "after": answers}, examples)
    assert found["students"]["after"]["intervals"]["accuracy_level_3"] == [1.0, 1.0]
    assert found["after_minus_before"]["accuracy_level_3"]["interval"] == [0.0, 0.0]
