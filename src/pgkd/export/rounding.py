"""Weights in whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

LARGEST = 63  # of a weight: 7 bits, for CPUs that add two products of 8 bits in 16
_BLOCK = 64  # rows that are rounded before the rows below hear of it
_DAMPING = 0.01  # of the mean moment: channels that hardly moved are not relied on


def round_weights(weight: Floats, moment: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix in 7 bits whose products err little on inputs such as were seen.

    The rows are rounded one after the other. What a row's rounding does to a product is made good,
    as far as the inputs tell, by the rows below it, as in GPTQ (Frantar et al., ICLR 2023).

    Args:
        weight: shape (inputs, outputs).
        moment: of the inputs, the sum of the outer products of each with itself; shape (inputs,
            inputs).

    Returns:
        Whole numbers up to `LARGEST`, shape (inputs, outputs), and what multiplies each column,
        shape (outputs,).
    """
    scale = largest(weight, axis=0)[0] / LARGEST
    left = np.array(weight, dtype=np.float64)
    coded = np.empty(weight.shape, dtype=np.int8)
    makes_good = _makes_good(np.asarray(moment, dtype=np.float64))
    for start in range(0, len(left), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(left)))
        errors = np.empty_like(left[block])
        for row in range(block.start, block.stop):
            coded[row] = np.clip(np.round(left[row] / scale), -LARGEST, LARGEST)
            error = (left[row] - coded[row] * scale) / makes_good[row, row]
            left[row : block.stop] -= np.outer(makes_good[row, row : block.stop], error)
            errors[row - start] = error
        left[block.stop :] -= makes_good[block, block.stop :].T @ errors
    return coded, scale.astype(np.float32)


def largest(values: Floats, axis: int) -> NDArray[np.float64]:
    """The largest size of a number along an axis, kept as one; 1 where all are 0."""
    found: NDArray[np.float64] = np.abs(values).max(axis=axis, keepdims=True).astype(np.float64)
    found[found == 0] = 1.0
    return found


def _makes_good(moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a row's error each row below takes: the upper root of the inverse moment."""
    damping = _DAMPING * np.trace(moment) / len(moment) or 1.0
    inverse = np.linalg.inv(moment + damping * np.eye(len(moment)))
    return np.linalg.cholesky(inverse).T.astype(np.float64)
