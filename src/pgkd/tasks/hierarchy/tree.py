"""The tree over the labels. A label is the whole path to its node, such as ``A > B > C``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.task import Answer

SEPARATOR = " > "
Path = tuple[str, ...]


def join(path: Sequence[str]) -> str:
    """The label of a path."""
    return SEPARATOR.join(path)


def split(label: str) -> Path:
    """The path of a label."""
    return tuple(label.split(SEPARATOR))


def shared_depth(one: Path, other: Path) -> int:
    """How many levels two paths have in common, from the root."""
    same = [a == b for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


class Tree:
    """The tree that n labels span; one may be an inner node, for texts of it and of none below.

    Attributes:
        paths: the paths of the labels.
        levels: for each level but the deepest, shape (n,): the number of the node that each label
            has there. A label that ends above has a node of its own.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.paths = [split(name) for name in classes]
        self.levels: list[NDArray[np.int64]] = []
        for level in range(1, max(map(len, self.paths))):
            nodes = [p[:level] if len(p) >= level else (*p, "") for p in self.paths]
            number = {node: i for i, node in enumerate(dict.fromkeys(nodes))}
            self.levels.append(np.array([number[node] for node in nodes]))

    def covariance(self, share: float) -> NDArray[np.float64]:
        """Of the weights of labels, shape (n, n): 1 for its own, `share` for each node in common.

        A label that ends above the deepest level has no node below it to share.
        """
        same = sum((share * (nodes[:, None] == nodes) for nodes in self.levels), np.zeros(()))
        return np.eye(len(self.paths)) + same

    def answers(self, probabilities: NDArray[np.float64], inner_below: float) -> list[Answer]:
        """The most probable label of each text, or the lowest node above that is sure enough.

        The probability of a node is the sum of those of the labels at and below it, so it falls
        along every path. A node less probable than `inner_below` gives way to the one above it, as
        far as the first level; 0 always answers the label. `probabilities` has shape (n_texts, n).
        """
        answers = []
        for row in probabilities:
            best = int(row.argmax())
            path, leaf = self.paths[best], float(row[best])
            above = [float(row[nodes == nodes[best]].sum()) for nodes in self.levels]
            sure = [*above, leaf][: len(path)]
            depth = next((d for d in range(len(path), 1, -1) if sure[d - 1] >= inner_below), 1)
            inner, probability = path[:depth], round(sure[depth - 1], 6)
            answer = {"label": join(inner), "path": list(inner), "probability": probability}
            answers.append({**answer, "leaf": join(path), "leaf_probability": round(leaf, 6)})
        return answers

    def choose_threshold(self, probabilities: NDArray[np.float64], labels: Sequence[str]) -> float:
        """The `inner_below` with the highest hierarchical F1 on texts with these labels."""

        def score(threshold: float) -> float:
            answers = self.answers(probabilities, threshold)
            return measure_paths(count_answers(answers, labels))["hierarchical_f1"]

        grid = [i / 20 for i in range(20)]
        return max(grid, key=score)  # of equal ones the lowest


Counts = Counter[tuple[str, str, str]]  # texts by label, most probable leaf and answer


def count_answers(answers: Sequence[Answer], labels: Sequence[str]) -> Counts:
    """Count answers to texts with these labels."""
    pairs = zip(labels, answers, strict=True)
    return Counter((label, str(a.get("leaf", a["label"])), str(a["label"])) for label, a in pairs)


def measure_paths(counts: Counts, depth: int = 1) -> dict[str, float]:
    """Figures of answers in a tree.

    Hierarchical F1 is that of Kiritchenko et al. (2005). Its precision is the share of the nodes on
    answered paths that is right, its recall the share of the nodes on right paths that is answered.
    The other figures judge the most probable leaf, even where a node above is answered. A path that
    ends above a level counts there as a whole. `depth` are the levels of the tree, where labels may
    not reach the deepest.
    """
    common = nodes = 0
    right, support, predicted, hits = (Counter[Any]() for _ in range(4))
    depth = max([depth, *(len(split(label)) for label, _, _ in counts)])
    n_all = max(1, counts.total())
    for (label, leaf, answer), n in counts.items():
        gold, said = split(label), split(answer)
        common += n * shared_depth(gold, said)
        nodes += n * (len(said) + len(gold))
        support[label] += n
        predicted[leaf] += n
        hits[label] += n * (label == leaf)
        for level in range(1, depth + 1):
            right[level] += n * (gold[:level] == split(leaf)[:level])
    f1 = [2 * hits[x] / (support[x] + predicted[x]) for x in support | predicted]
    return {
        "accuracy": hits.total() / n_all,
        **{f"accuracy_level_{x}": right[x] / n_all for x in range(1, depth + 1)},
        "hierarchical_f1": 2 * common / max(1, nodes),
        "macro_f1": sum(f1) / max(1, len(f1)),
    }
