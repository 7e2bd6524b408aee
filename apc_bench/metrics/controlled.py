"""A threshold that rests on all normal images, where only some took no part in what was learned
(docs/method.md section 5).

Some tens of held-out images leave a 95 % quantile to chance. But of every normal image one part of
the score is known as if it were new: its distance to the memory bank without its group. So what a
distance lets expect of a score is learned from the held-out images, and applied to all: a control
variate, as in Angelopoulos et al., "Prediction-powered inference", Science 2023.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apc_bench.metrics.exact import Measure, Scores, calibrated_threshold

CALIBRATION, LEARNED = "calibration", "learned"
"""`split`, in a trial's scores, of the normal images that its threshold rests on: those that took
no part, and those that were learned from.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """Squared distances to the memory bank, each without its group: of the images that calibrate
    (n,), and of those that were learned from (m,).
    """

    calibration: Scores
    learned: Scores


def calibrated(scores: Scores, control: Control | None, *, alpha: float) -> Measure:
    """The threshold for a false-alarm rate `alpha` by the scores (n,) of images that took no part:
    their conformal quantile, or with a control the quantile of what is to be expected of all n + m.
    None where the n are too few by themselves.
    """
    alone = calibrated_threshold(scores, alpha=alpha)
    if alone.value is None or control is None or not len(control.learned):
        return alone
    expected, residuals = expected_scores(scores, control)
    spread, rest = float(expected.var()), float(residuals.var())
    if not spread + rest:
        return alone
    # As many images of their own would tell the mean as exactly as these do.
    worth = (spread + rest) / (spread / len(expected) + rest / len(residuals))
    total = len(expected) * len(residuals)
    rank = math.ceil(total * (1 - alpha) * (1 + 1 / worth) - 1e-9)
    return Measure(_ranked_sum(expected, np.sort(residuals), min(rank, total)))


def _ranked_sum(these: Scores, ascending: Scores, rank: int) -> float:
    """The sum of this rank, from 1 on, among all of one of `these` and one of the others; at most
    the last bit above it. By bisection, since thousands of images would have a billion sums.
    """
    low = float(these.min() + ascending[0])
    high = float(these.max() + ascending[-1])
    while low < (middle := (low + high) / 2) < high:
        as_small = np.searchsorted(ascending, middle - these, side="right").sum()
        low, high = (low, middle) if as_small >= rank else (middle, high)
    return high


def expected_scores(scores: Scores, control: Control) -> tuple[Scores, Scores]:
    """What the distances let expect of the scores (n + m,), the images that calibrate first; and of
    these, how far each is from what the others let expect (n,).

    By a line, on the scale of the distances on which it fits best: scores are such distances, their
    roots, or sums with their logarithms.
    """
    distances = np.concatenate([control.calibration, control.learned])
    fits = [_fitted(scores, scaled) for scaled in _scales(distances)]
    return min(fits, key=lambda fit: float(np.square(fit[1]).sum()))


def _scales(distances: Scores) -> Iterator[Scores]:
    yield distances
    yield np.sqrt(distances)
    if (distances > 0).all():
        yield np.log(distances)


def _fitted(scores: Scores, distances: Scores) -> tuple[Scores, Scores]:
    """The least-squares line through the first images at all; and their residuals, each from the
    line through the others.
    """
    known = distances[: len(scores)]
    centred = known - known.mean()
    square = float(centred @ centred)
    if not square:
        return np.full(len(distances), scores.mean()), scores - scores.mean()
    slope = float(centred @ scores) / square
    expected = scores.mean() + slope * (distances - known.mean())
    leverage = 1 / len(scores) + centred**2 / square
    return expected, (scores - expected[: len(scores)]) / np.maximum(1 - leverage, 1e-9)
