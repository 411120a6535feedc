"""How likely a language model finds each of a few answers, from its next-token probabilities.

A model writes an answer token by token. Where the answers part, the probabilities of the next token
are shared among those that may still come; where only one is left, it is sure. So the choices are
the leaves of a trie, and one look at the model is enough for each branch that is worth it. This is
the distribution that sampling under a grammar of the choices draws from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    NextTokens = Callable[[str], Mapping[bytes, float]]
    """From the beginning of an answer to log-probabilities of its likeliest next tokens."""

END = b"\0"
"""Stands among the next tokens for those that end an answer."""

_WORTH_A_LOOK = 1e-3  # a branch with less probability is shared evenly among its choices


def score_choices(choices: Sequence[str], next_tokens: NextTokens) -> tuple[float, ...]:
    """Log-probability of each answer, given that it is one of them.

    Args:
        choices: n different answers; one may begin another, for an answer has to end.
        next_tokens: asks the model. Tokens that it does not name count as the least likely of
            those that it does.

    Returns:
        n log-probabilities, whose exponentials sum to one.
    """
    written = [choice.encode() + END for choice in choices]
    scores = [0.0] * len(choices)

    def descend(branch: list[int], prefix: bytes, log_mass: float) -> None:
        """Share the probability of a branch among its choices; `prefix` is what they begin with."""
        begun = _text(prefix)
        if len(branch) == 1 or log_mass < math.log(_WORTH_A_LOOK) or begun is None:
            for i in branch:
                scores[i] = log_mass - math.log(len(branch))
            return
        tokens = next_tokens(begun)
        least = min(tokens.values())
        twigs: dict[bytes, list[int]] = defaultdict(list)
        for i in branch:
            twigs[_likeliest(written[i][len(prefix) :], tokens)].append(i)
        # What no token leads to counts as the least likely token, once for each choice.
        weights = {
            token: tokens[token] if token else least + math.log(len(twig))
            for token, twig in twigs.items()
        }
        total = _log_sum(list(weights.values()))
        for token, twig in twigs.items():
            part = log_mass + weights[token] - total
            if token:
                descend(twig, prefix + token, part)
            else:
                for i in twig:
                    scores[i] = part - math.log(len(twig))

    descend(list(range(len(choices))), b"", 0.0)
    return tuple(scores)


def _likeliest(rest: bytes, tokens: Mapping[bytes, float]) -> bytes:
    """The likeliest token that an answer can go on with; empty where none is named."""
    fitting = [token for token in tokens if token and rest.startswith(token)]
    return max(fitting, key=lambda t: tokens[t], default=b"")


def _text(prefix: bytes) -> str | None:
    """The prefix as a prompt can hold it; None in the middle of a character."""
    try:
        return prefix.decode()
    except UnicodeDecodeError:
        return None


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))
