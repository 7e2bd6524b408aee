"""Exact AUROC, AP, F1-max, AU-PRO and calibrated thresholds over numpy arrays (docs/method.md
section 5).

Positives and negatives are sorted apart, once; every metric then follows from `searchsorted` at the
positives alone. A metric that is not defined is null with the reason, never 0 or 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import ndimage

Scores = NDArray[np.floating]
Points = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""x, y and threshold of a curve's points."""

CURVE_POINTS = 400
NO_POSITIVE = "nothing anomalous to find"
NO_NEGATIVE = "nothing normal to compare with"
_NOTHING: Points = (np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's value, or None and why."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Scores of the anomalous (positives) and the normal (negatives), each ascending. A score at or
    above a threshold is called anomalous.
    """

    positives: Scores
    negatives: Scores

    @classmethod
    def of(cls, scores: Scores, labels: NDArray[np.bool_]) -> "Ranking":
        """From scores and labels (true: anomalous) of one shape. Raises ValueError for scores that
        are not finite.
        """
        if not np.isfinite(scores).all():
            raise ValueError("scores must be finite")
        return cls(np.sort(scores[labels]), np.sort(scores[~labels]))

    @property
    def undefined(self) -> str | None:
        """Why no metric is defined, if none is."""
        if not len(self.positives):
            return NO_POSITIVE
        return None if len(self.negatives) else NO_NEGATIVE

    def auroc(self) -> Measure:
        """Area under the ROC curve: the share of pairs in the right order, ties half."""
        if self.undefined:
            return Measure(None, self.undefined)
        below = np.searchsorted(self.negatives, self.positives, "left").sum(dtype=np.int64)
        up_to = np.searchsorted(self.negatives, self.positives, "right").sum(dtype=np.int64)
        return Measure((int(below) + int(up_to)) / (2 * len(self.positives) * len(self.negatives)))

    def average_precision(self) -> Measure:
        """Sum of precision times the step in recall over thresholds, ties as one step
        (scikit-learn's definition).
        """
        if self.undefined:
            return Measure(None, self.undefined)
        _, hits, alarms = self._at_positives()
        steps = np.diff(hits, prepend=0)
        return Measure(float((steps * (hits / (hits + alarms))).sum() / len(self.positives)))

    def f1_max(self) -> tuple[Measure, float | None]:
        """The largest F1 over all thresholds of the exact curve, and its threshold: an oracle. It
        always lies at a positive's score.
        """
        if self.undefined:
            return Measure(None, self.undefined), None
        thresholds, hits, alarms = self._at_positives()
        f1 = 2 * hits / (hits + alarms + len(self.positives))
        best = int(f1.argmax())
        return Measure(float(f1[best])), float(thresholds[best])

    def roc(self, points: int = CURVE_POINTS) -> Points:
        """False-positive rate, true-positive rate and threshold, from strict to lenient: exact
        vertices, at most about `points` of them.
        """
        if self.undefined:
            return _NOTHING
        half = points // 2
        spread = (_spread(self.positives, half), _spread(self.negatives, half))
        thresholds = np.unique(np.concatenate(spread))[::-1]
        hits, alarms = self._counts(thresholds)
        return (
            alarms / len(self.negatives),
            hits / len(self.positives),
            thresholds.astype(np.float64),
        )

    def precision_recall(self, points: int = CURVE_POINTS) -> Points:
        """Recall, precision and threshold, from strict to lenient: exact vertices, at most `points`
        of them.
        """
        if self.undefined:
            return _NOTHING
        thresholds = np.unique(_spread(self.positives, points))[::-1]
        hits, alarms = self._counts(thresholds)
        return hits / len(self.positives), hits / (hits + alarms), thresholds.astype(np.float64)

    def _at_positives(self) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
        """Distinct positive scores from the largest on, with true and false positives at each as
        threshold.
        """
        thresholds = np.unique(self.positives)[::-1]
        return thresholds, *self._counts(thresholds)

    def _counts(self, thresholds: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        hits = len(self.positives) - np.searchsorted(self.positives, thresholds, "left")
        alarms = len(self.negatives) - np.searchsorted(self.negatives, thresholds, "left")
        return hits, alarms


def _spread(ascending: Scores, count: int) -> Scores:
    """At most `count` of the values, evenly by rank, the first and the last among them."""
    return ascending[np.unique(np.linspace(0, len(ascending) - 1, count).round().astype(np.int64))]


@dataclass(frozen=True, slots=True, eq=False)
class PixelRanking:
    """All pixels of a category's test images together, and the weight 1 / (pixels of its region ×
    regions) of each anomalous one.
    """

    pixels: Ranking
    weights: NDArray[np.float64]

    @classmethod
    def of(
        cls, maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]]
    ) -> "PixelRanking":
        """From maps (h, w) and masks (h, w), whose sizes may differ from image to image. Regions
        are 8-connected.
        """
        pairs = list(zip(maps, masks, strict=True))
        anomalous = np.concatenate([scores[mask] for scores, mask in pairs])
        normal = np.concatenate([scores[~mask] for scores, mask in pairs])
        shares, counts = zip(*(_regions(mask) for mask in masks), strict=True)
        weights = np.concatenate(shares) / max(sum(counts), 1)
        if not (np.isfinite(anomalous).all() and np.isfinite(normal).all()):
            raise ValueError("maps must be finite")
        # By weight within equal scores, so that sums come out the same, bit for bit, in whatever
        # order the images stand.
        order = np.lexsort((weights, anomalous))
        normal.sort()
        return cls(Ranking(anomalous[order], normal), weights[order])

    def pro(self, points: int = CURVE_POINTS) -> Points:
        """False-positive rate over all normal pixels, mean per-region overlap and threshold, from
        strict to lenient, at most `points`.
        """
        if self.pixels.undefined:
            return _NOTHING
        rate, overlap, thresholds = self._pro()
        kept = np.unique(np.linspace(0, len(thresholds) - 1, points).round().astype(np.int64))
        return rate[kept], overlap[kept], thresholds[kept].astype(np.float64)

    def au_pro(self, *, limit: float = 0.3) -> Measure:
        """Area under the per-region-overlap curve up to a false-positive rate of `limit`, divided
        by `limit`.

        Vertices at every distinct score of an anomalous or normal pixel, joined by straight lines,
        as in MVTec's evaluation; between two anomalous pixels' scores overlap does not move, so
        those at anomalous pixels are enough: the curve runs level to the next one's rate before it,
        then joins to the vertex where ties of both kinds fall together. The value at `limit` is
        interpolated.
        """
        if self.pixels.undefined:
            return Measure(None, self.pixels.undefined)
        rate, overlap, thresholds = self._pro()
        normal = self.pixels.negatives
        strictly = (len(normal) - np.searchsorted(normal, thresholds, "right")) / len(normal)
        before = np.concatenate([[0.0], overlap[:-1]])
        x = np.concatenate([[0.0], np.stack([strictly, rate], axis=1).ravel(), [1.0]])
        y = np.concatenate([[0.0], np.stack([before, overlap], axis=1).ravel(), [1.0]])
        inside = x <= limit
        last = np.searchsorted(x, limit, "right") - 1
        edge = np.interp(limit, x[last:], y[last:])
        area = np.trapezoid(np.append(y[inside], edge), np.append(x[inside], limit))
        return Measure(float(area / limit))

    def _pro(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Scores]:
        """Rate, overlap and threshold at every distinct score of an anomalous pixel, from the
        largest on.
        """
        thresholds, first = np.unique(self.pixels.positives, return_index=True)
        overlap = np.cumsum(self.weights[::-1])[::-1][first][::-1]
        thresholds = thresholds[::-1]
        normal = self.pixels.negatives
        alarms = len(normal) - np.searchsorted(normal, thresholds, "left")
        return alarms / len(normal), overlap, thresholds


def _regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """Of each anomalous pixel 1 / (pixels of its region), and the number of regions."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return 1.0 / sizes[labels[mask]], count


def calibration_needed(alpha: float) -> int:
    """The fewest calibration scores that `calibrated_threshold` sets a threshold by."""
    return math.ceil(1 / alpha - 1e-9) - 1


def calibrated_threshold(scores: Scores, *, alpha: float) -> Measure:
    """The threshold that a normal image exceeds with a probability of at most `alpha`: the ceil((n
    + 1)(1 - alpha))-th smallest of n calibration scores (split conformal). Undefined where alpha <
    1 / (n + 1): so few images cannot promise so low a rate.
    """
    count = len(scores)
    if alpha < 1 / (count + 1):
        return Measure(
            None,
            f"{count} calibration images cannot promise {100 * alpha:g} % false alarms: at least"
            f" {calibration_needed(alpha)} are needed",
        )
    rank = math.ceil((count + 1) * (1 - alpha) - 1e-9)
    return Measure(float(np.sort(scores)[min(rank, count) - 1]))


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """Metrics at a threshold, with 95 % Clopper-Pearson intervals of the two rates: a field for
    each name of catalogue.AT_THRESHOLD.
    """

    f1_calibrated: Measure
    missed_rate: Measure
    missed_low: Measure
    missed_high: Measure
    false_alarm_rate: Measure
    false_alarm_low: Measure
    false_alarm_high: Measure


def at_threshold(scores: Scores, labels: NDArray[np.bool_], threshold: Measure) -> AtThreshold:
    """F1, missed-defect rate and false-alarm rate when a score strictly above `threshold` is called
    anomalous.
    """
    if threshold.value is None:
        return AtThreshold(*[Measure(None, threshold.reason)] * len(fields(AtThreshold)))
    called = scores > threshold.value
    hits, misses = int((called & labels).sum()), int((~called & labels).sum())
    alarms, passes = int((called & ~labels).sum()), int((~called & ~labels).sum())
    missed = _rate(misses, hits + misses, NO_POSITIVE)
    false_alarms = _rate(alarms, alarms + passes, NO_NEGATIVE)
    if not hits + misses:
        return AtThreshold(Measure(None, NO_POSITIVE), *missed, *false_alarms)
    f1 = Measure(2 * hits / (2 * hits + alarms + misses))
    return AtThreshold(f1, *missed, *false_alarms)


def _rate(count: int, total: int, reason: str) -> tuple[Measure, Measure, Measure]:
    if not total:
        return (Measure(None, reason),) * 3
    low, high = clopper_pearson(count, total)
    return Measure(count / total), Measure(low), Measure(high)


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a binomial proportion."""
    tail = (1 - level) / 2
    failures = trials - successes
    low = float(scipy.stats.beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(scipy.stats.beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return low, high
