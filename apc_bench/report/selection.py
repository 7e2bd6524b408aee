"""Which test images are shown: fixed rules over the scores of one trial, so that nobody picks."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from apc_bench.results.detections import ranks_among

TYPES_MAX = 4
HARDEST = 3
ONE_SIDED = 2
"""Images of a kind on which two systems disagree."""


RULE = (
    "Rows, by the scores of the last system: the anomalous test image with the lowest score, the"
    f" normal one with the highest, then the median image of each defect type (the {TYPES_MAX} with"
    " most images) and of the normal images; equal scores in the order of names"
)


@dataclass(frozen=True, slots=True)
class Pick:
    """One row of a gallery: why it is there, and which image."""

    why: str
    image: str
    defect_type: str
    label: bool


def pick(scores: pl.DataFrame, *, threshold: float | None) -> list[Pick]:
    """The rows of a gallery from a trial's scores (schemas.SCORES), each image once. `threshold`
    tells missed from merely low.
    """
    test = scores.filter(pl.col("split") == "test").sort("score", "image")
    anomalous, normal = test.filter(pl.col("label")), test.filter(~pl.col("label"))
    picks: list[Pick] = []
    if len(anomalous):
        missed = threshold is not None and anomalous["score"][0] < threshold
        picks.append(_pick("hardest missed" if missed else "lowest anomalous score", anomalous, 0))
    if len(normal):
        last = len(normal) - 1
        alarm = threshold is not None and normal["score"][last] >= threshold
        picks.append(_pick("worst false alarm" if alarm else "highest normal score", normal, last))
    for kind in _largest_types(anomalous["defect_type"].to_list()):
        of_type = anomalous.filter(pl.col("defect_type") == kind)
        picks.append(_pick("typical of its type", of_type, (len(of_type) - 1) // 2))
    if len(normal):
        picks.append(_pick("typical normal", normal, (len(normal) - 1) // 2))
    once: dict[str, Pick] = {}
    for choice in picks:
        once.setdefault(choice.image, choice)
    return list(once.values())


def hardest(scores: pl.DataFrame, *, threshold: float | None, count: int = HARDEST) -> list[Pick]:
    """The anomalous test images with the lowest scores, lowest first, then the normal ones with the
    highest, highest first; `count` of each.
    """
    test = scores.filter(pl.col("split") == "test").sort("score", "image")
    anomalous, normal = test.filter(pl.col("label")), test.filter(~pl.col("label"))
    picks = []
    for index in range(min(count, len(anomalous))):
        missed = threshold is not None and anomalous["score"][index] < threshold
        picks.append(
            _pick("missed defect" if missed else "lowest anomalous score", anomalous, index)
        )
    for index in range(len(normal) - 1, max(-1, len(normal) - 1 - count), -1):
        alarm = threshold is not None and normal["score"][index] >= threshold
        picks.append(_pick("false alarm" if alarm else "highest normal score", normal, index))
    return picks


@dataclass(frozen=True, slots=True)
class Judged:
    """One of two systems that are set side by side: how it is called, its trial's scores
    (schemas.SCORES) and its threshold.
    """

    title: str
    scores: pl.DataFrame
    threshold: float | None

    def outcomes(self) -> dict[str, tuple[float, bool | None]]:
        """Anomalous test image -> its rank among the normal ones (0 to 1, ties half), and whether
        it was found; None without a threshold.
        """
        test = self.scores.filter(pl.col("split") == "test")
        normal = test.filter(~pl.col("label"))["score"].to_numpy()
        anomalous = test.filter("label")
        scores = anomalous["score"].to_numpy()
        ranks = ranks_among(scores, normal).tolist()
        found: list[bool | None] = [None] * len(scores)
        if self.threshold is not None:
            found = (scores > self.threshold).tolist()
        pairs = zip(ranks, found, strict=True)
        return dict(zip(anomalous["image"].to_list(), pairs, strict=True))


@dataclass(frozen=True, slots=True)
class OneSided:
    """The anomalous test images that one of two systems alone finds, or, where a threshold is
    missing, that it ranks higher: in words, how many they are, and those that are shown.
    """

    why: str
    number: int
    picks: Sequence[Pick]


def one_sided(ours: Judged, theirs: Judged, count: int = ONE_SIDED) -> OneSided:
    """What speaks for `ours`: the images whose ranks are the farthest apart first, then in the
    order of names; `count` of them are shown.
    """
    mine, others = ours.outcomes(), theirs.outcomes()
    gaps = {image: mine[image][0] - others[image][0] for image in mine.keys() & others.keys()}
    if ours.threshold is None or theirs.threshold is None:
        why = f"ranked higher by {ours.title}"
        chosen = [image for image, gap in gaps.items() if gap > 0]
    else:
        why = f"found only by {ours.title}"
        chosen = [image for image in gaps if mine[image][1] and not others[image][1]]
    chosen.sort(key=lambda image: (-gaps[image], image))
    kinds = dict(ours.scores.select("image", "defect_type").iter_rows())
    shown = [Pick(why, image, kinds[image], True) for image in chosen[:count]]
    return OneSided(why, len(chosen), shown)


def _largest_types(types: Sequence[str]) -> list[str]:
    counts = {kind: types.count(kind) for kind in sorted(set(types))}
    return sorted(sorted(counts, key=lambda kind: -counts[kind])[:TYPES_MAX])


def _pick(why: str, rows: pl.DataFrame, index: int) -> Pick:
    row = rows.row(index, named=True)
    return Pick(why, row["image"], row["defect_type"], row["label"])
