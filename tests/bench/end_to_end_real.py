"""PatchCore from image files to metrics on real images: MVTec AD's pill at 224 px, ImageNet weights
(end_to_end.py).
"""

import importlib.metadata
from collections.abc import Iterator
from typing import Any

from bench.end_to_end import HUGE_PAGES, MALLOC, aurocs, parts, run, times
from bench.figure import Figure

SIZE = {"size": 224}
ALL = 267
"""pill's training images."""

GOALS = {"resnet18": (5, 4), "resnet50": (None, None)}
"""To be as many times as fast as the plain reference at 60 training images, and at all of them."""

BESIDE_ANOMALIB, ANOMALIB_GOAL = "resnet18", 20
"""ResNet-50 has four times its channels, and anomalib's coreset takes as many times longer."""


def figures() -> Iterator[Figure]:
    """Ratios to the peers at 60 training images, and to the plain reference at all."""
    for backbone, (few, all_images) in GOALS.items():
        on = {"APC_BENCH_ON": f"pill/{backbone}"}
        yield from _few(backbone, on, few)
        yield from _all(backbone, on, all_images)


def _few(backbone: str, on: dict[str, str], goal: float | None) -> Iterator[Figure]:
    what = f"PatchCore on pill, 60 training images, {backbone}, 10 %"
    ours = min((run("ours", on, **SIZE) for _ in range(2)), key=lambda found: found["seconds"])
    plain = run("reference", on, **SIZE)
    yield times(f"{what}: times the plain reference", ours, plain, goal)
    paged = run("reference", on | HUGE_PAGES, **SIZE)
    yield times(f"{what}: times the plain reference with huge pages", ours, paged, None)
    yield _difference(what, ours, plain)
    yield from _beside_the_floor(what, ours, plain, run("floor", on | HUGE_PAGES, **SIZE))
    if backbone == BESIDE_ANOMALIB:
        peer = f"{what}: times anomalib {importlib.metadata.version('anomalib')}"
        yield times(f"{peer} as shipped", ours, run("anomalib", on, **SIZE), ANOMALIB_GOAL)
        tuned = run("anomalib", on | MALLOC | HUGE_PAGES, **SIZE)
        yield times(f"{peer} with its malloc threshold set and huge pages", ours, tuned, None)


def _all(backbone: str, on: dict[str, str], goal: float | None) -> Iterator[Figure]:
    what = f"PatchCore on pill, all {ALL} training images, {backbone}, 10 %"
    ours, plain = (run(tool, on, training=ALL, **SIZE) for tool in ("ours", "reference"))
    yield times(f"{what}: times the plain reference", ours, plain, goal)
    yield _difference(what, ours, plain)
    floor = run("floor", on | HUGE_PAGES, training=ALL, **SIZE)
    yield from _beside_the_floor(what, ours, plain, floor)


def _beside_the_floor(
    what: str, ours: dict[str, Any], plain: dict[str, Any], floor: dict[str, Any]
) -> Iterator[Figure]:
    """How far both are from the least that comparing every patch with the bank takes in float32."""
    alone = f"times the network and one float32 product alone ({parts(floor)} s)"
    yield Figure(
        what=f"{what}: {alone}", value=ours["seconds"] / floor["seconds"], unit="×", how=parts(ours)
    )
    yield Figure(
        what=f"{what}: the plain reference's time {alone}, as fast as could be beside it",
        value=plain["seconds"] / floor["seconds"],
        unit="×",
    )


def _difference(what: str, ours: dict[str, Any], plain: dict[str, Any]) -> Figure:
    names = ("image_auroc", "pixel_auroc")
    return Figure(
        what=f"{what}: AUROC off the reference's by at most",
        value=max(abs(ours[name] - plain[name]) for name in names),
        unit="",
        at_most=5e-4,
        how=aurocs(ours, plain),
    )
