"""All pixel metrics of a category together against scikit-learn's three functions plus a plain
AU-PRO, on 5.8 million pixels.
"""

import tracemalloc

import numpy as np
from bench.figure import Figure, exponent, fastest
from bench.reference import au_pro, pixel_metrics
from numpy.typing import NDArray

from apc_bench.metrics.exact import PixelRanking

IMAGES, SIZE = 115, 224
GROWTH = (29, 58, 115)


def figures() -> list[Figure]:
    """Share of the plain way's time, agreement, peak memory beside the input, growth."""
    scores, masks = made(IMAGES)
    ours, found = fastest(lambda: all_metrics(scores, masks))
    sklearn, expected = fastest(lambda: pixel_metrics(scores, masks), 1)
    plain, area = fastest(lambda: au_pro(scores, masks), 1)
    expected["au_pro"] = area
    tracemalloc.start()
    all_metrics(scores, masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    growth = [fastest(lambda n=n: all_metrics(*made(n)))[0] for n in GROWTH]
    size = f"pixel AUROC, AP, F1-max and AU-PRO of {scores.size / 1e6:.1f} million pixels"
    return [
        Figure(
            what=f"{size}: share of scikit-learn's time plus a plain AU-PRO's",
            value=ours / (sklearn + plain),
            unit="",
            at_most=0.1,
            how=f"{ours:.2f} s against {sklearn:.1f} + {plain:.1f} s",
        ),
        Figure(
            what="the same: largest difference of a metric",
            value=max(abs(found[name] - expected[name]) for name in found),
            unit="",
            at_most=1e-9,
        ),
        Figure(
            what=(
                "the same: peak memory beside the input, in inputs (float32 scores and bool masks)"
            ),
            value=peak / (scores.nbytes + masks.nbytes),
            unit="×",
            at_most=3,
            how=f"{peak / 2**20:.0f} MiB beside {(scores.nbytes + masks.nbytes) / 2**20:.0f} MiB",
        ),
        Figure(
            what="the same: exponent in the number of images",
            value=exponent(GROWTH, growth),
            unit="",
        ),
    ]


def all_metrics(scores: NDArray[np.float32], masks: NDArray[np.bool_]) -> dict[str, float]:
    """As evaluation.py computes them."""
    ranking = PixelRanking.of(list(scores), list(masks))
    measures = {
        "pixel_auroc": ranking.pixels.auroc(),
        "pixel_f1_max": ranking.pixels.f1_max()[0],
        "pixel_ap": ranking.pixels.average_precision(),
        "au_pro": ranking.au_pro(),
    }
    return {name: measure.value or 0.0 for name, measure in measures.items()}


def made(images: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps with one or two rectangular defects on two thirds of the images, 3 % of all pixels,
    scored higher on average.
    """
    generator = np.random.default_rng(0)
    masks = np.zeros((images, SIZE, SIZE), np.bool_)
    for mask in masks[: 2 * images // 3]:
        for _ in range(generator.integers(1, 3)):
            top, left = generator.integers(0, SIZE - 48, 2)
            tall, wide = generator.integers(16, 48, 2)
            mask[top : top + tall, left : left + wide] = True
    return generator.normal(masks * 1.5, 1).astype(np.float32), masks
