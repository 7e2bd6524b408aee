"""The greedy coreset against anomalib's, patchcore-inspection's loop and the best plain loop, on
61,440 real patch features, projection included.
"""

import importlib.metadata
import os
import subprocess
import sys

import torch
from bench import inputs
from bench.figure import Figure, exponent, fastest, peak_memory_gib
from bench.reference import approximate_greedy, best_plain
from torch import Tensor

from apc_bench.bank.coreset import greedy_coreset, projection, start_indices

COUNT = 6144
ROWS = (15360, 30720, 61440)
RATIOS = (0.025, 0.05, 0.1)


def figures() -> list[Figure]:
    """Ratios to each peer and to each loop, that the picks are the same, and how cost grows."""
    torch.set_num_threads(inputs.THREADS)
    patches = inputs.training_patches()
    size = f"coreset of {len(patches):,} × {patches.shape[1]} to {COUNT:,}"
    ours, picks = fastest(lambda: greedy_coreset(patches, COUNT, seed=0))
    starts = start_indices(len(patches), 10, seed=0)
    reference, _ = fastest(
        lambda: approximate_greedy(projection(patches, 128, seed=0), COUNT, starts), 1
    )
    plain, _ = fastest(lambda: best_plain(projection(patches, 128, seed=0), COUNT, starts), 1)
    anomalib = _anomalib(patches)
    version = importlib.metadata.version("anomalib")
    return [
        Figure(
            what=f"{size}: times anomalib {version}'s KCenterGreedy",
            value=anomalib / ours,
            unit="×",
            at_least=60,
            how=_pair(ours, anomalib),
        ),
        Figure(
            what=f"{size}: times patchcore-inspection's loop",
            value=reference / ours,
            unit="×",
            at_least=25,
            how=_pair(ours, reference),
        ),
        Figure(
            what=f"{size}: times the best plain loop",
            value=plain / ours,
            unit="×",
            at_least=12,
            how=_pair(ours, plain),
        ),
        *_same(patches, picks, starts),
        *_growth(patches),
        *_huge(),
    ]


def _pair(ours: float, theirs: float) -> str:
    return f"{ours:.2f} s against {theirs:.1f} s"


def _anomalib(patches: Tensor) -> float:
    """anomalib's sampler in this fresh process; inside its engine it takes longer
    (bench/end_to_end.py).
    """
    from anomalib.models.components import KCenterGreedy

    torch.manual_seed(0)
    with torch.inference_mode():
        seconds, _ = fastest(
            lambda: KCenterGreedy(patches, COUNT / len(patches)).select_coreset_idxs(), 1
        )
    return seconds


def _same(patches: Tensor, picks: Tensor, starts: Tensor) -> list[Figure]:
    """In float64 pick by pick; in float32 the covering radius, since near-ties may swap."""
    projected = projection(patches, 128, seed=0)
    exact = greedy_coreset(projected.double(), COUNT, seed=0)
    expected = best_plain(projected.double(), COUNT, starts)
    radius = [_radius(projected.double(), chosen) for chosen in (picks, expected)]
    return [
        Figure(
            what="coreset in float64: picks as the plain loop's",
            value=float((exact == expected).double().mean() * 100),
            unit="%",
            at_least=100,
        ),
        Figure(
            what="coreset in float32: covering radius, off the exact one by",
            value=abs(radius[0] / radius[1] - 1),
            unit="",
            at_most=1e-5,
            how=(
                f"{radius[0]:.6f} against {radius[1]:.6f};"
                f" {float((picks == expected).double().mean()):.2%} of the picks in the same place"
            ),
        ),
    ]


def _radius(points: Tensor, picks: Tensor) -> float:
    centres = points[picks]
    return max(float(torch.cdist(part, centres).amin(1).max()) for part in points.split(4096))


def _growth(patches: Tensor) -> list[Figure]:
    by_rows = [
        fastest(lambda rows=rows: greedy_coreset(patches[:rows], rows // 10, seed=0), 1)[0]
        for rows in ROWS
    ]
    by_ratio = [
        fastest(lambda ratio=ratio: greedy_coreset(patches, int(len(patches) * ratio), seed=0), 1)[
            0
        ]
        for ratio in RATIOS
    ]
    return [
        Figure(
            what="coreset to 10 %: exponent in the number of patches",
            value=exponent(ROWS, by_rows),
            unit="",
            how=_steps(ROWS, by_rows),
        ),
        Figure(
            what="coreset: exponent in the ratio",
            value=exponent(RATIOS, by_ratio),
            unit="",
            how=_steps(RATIOS, by_ratio),
        ),
    ]


def _steps(sizes: tuple[float, ...], seconds: list[float]) -> str:
    return ", ".join(
        f"{size:,g}: {spent:.2f} s" for size, spent in zip(sizes, seconds, strict=True)
    )


HUGE = (125_000, 250_000, 500_000)
HUGE_BANK = 50_000


def _huge() -> list[Figure]:
    """Up to 500,000 × 1024 with `bank_max` 50,000, each size in a process of its own, whose peak
    memory counts.
    """
    found = [_in_a_process(rows) for rows in HUGE]
    seconds = [spent for spent, _ in found]
    how = ", ".join(
        f"{rows:,}: {spent:.0f} s, {memory:.1f} GiB"
        for rows, (spent, memory) in zip(HUGE, found, strict=True)
    )
    return [
        Figure(
            what=f"coreset of {HUGE[-1]:,} × 1024 to {HUGE_BANK:,}: peak memory",
            value=found[-1][1],
            unit="GiB",
            at_most=8,
            how=how,
        ),
        Figure(
            what="the same: exponent in the number of patches, ratio 10 %",
            value=exponent(HUGE, seconds),
            unit="",
        ),
    ]


def _in_a_process(rows: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "bench.coreset", str(rows)]
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ
    ).stdout.split()
    return float(printed[0]), float(printed[1])


def main(rows: int) -> None:
    """Seconds and GiB of one coreset of `rows` vectors near each other in clusters, made in
    place.
    """
    torch.set_num_threads(inputs.THREADS)
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.arange(1, 1025).float() ** -0.7
    centres = 2 * torch.randn(40, 1024, generator=generator) * spectrum
    points = torch.empty(rows, 1024)
    for part in points.split(4096):
        part.normal_(generator=generator).mul_(spectrum).add_(
            centres[torch.randint(40, (len(part),), generator=generator)]
        )
    seconds, _ = fastest(lambda: greedy_coreset(points, min(HUGE_BANK, rows // 10), seed=0), 1)
    print(seconds, peak_memory_gib())


if __name__ == "__main__":
    main(int(sys.argv[1]))
