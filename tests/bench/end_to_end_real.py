"""PatchCore from image files to metrics on real images: MVTec AD's pill at 224 px, ImageNet weights
(end_to_end.py).
"""

import importlib.metadata

from bench.end_to_end import HUGE_PAGES, MALLOC, aurocs, run, times
from bench.figure import Figure

ALL = 267
"""pill's training images."""

GOALS = {"resnet18": (20, 5, 4), "resnet50": (None, None, None)}


def figures() -> list[Figure]:
    """Ratios to the peers at 60 training images, and to the plain reference at all."""
    return [figure for backbone in GOALS for figure in _of(backbone)]


def _of(backbone: str) -> list[Figure]:
    on = {"APC_BENCH_ON": f"pill/{backbone}"}
    size = {"size": 224}
    anomalib = f"anomalib {importlib.metadata.version('anomalib')}"
    shipped, reference, whole = GOALS[backbone]
    few = f"PatchCore on pill, 60 training images, {backbone}, 10 %: times"
    every = f"PatchCore on pill, all {ALL} training images, {backbone}, 10 %: times"
    ours = min((run("ours", on, **size) for _ in range(2)), key=lambda found: found["seconds"])
    plain = run("reference", on, **size)
    ours_of_all = run("ours", on, training=ALL, **size)
    plain_of_all = run("reference", on, training=ALL, **size)
    return [
        times(f"{few} {anomalib} as shipped", ours, run("anomalib", on, **size), shipped),
        times(
            f"{few} {anomalib} with its malloc threshold set and huge pages",
            ours,
            run("anomalib", on | MALLOC | HUGE_PAGES, **size),
            None,
        ),
        times(f"{few} the plain reference", ours, plain, reference),
        times(
            f"{few} the plain reference with huge pages",
            ours,
            run("reference", on | HUGE_PAGES, **size),
            None,
        ),
        times(f"{every} the plain reference", ours_of_all, plain_of_all, whole),
        *[_difference(*one) for one in ((few, ours, plain), (every, ours_of_all, plain_of_all))],
    ]


def _difference(size: str, ours: dict[str, float], plain: dict[str, float]) -> Figure:
    names = ("image_auroc", "pixel_auroc")
    return Figure(
        what=f"{size.removesuffix(': times')}: AUROC off the reference's by at most",
        value=max(abs(ours[name] - plain[name]) for name in names),
        unit="",
        at_most=5e-4,
        how=aurocs(ours, plain),
    )
