"""Photos far apart from the others that set a threshold."""

import numpy as np
import polars as pl
import pytest

from apc_bench.metrics.exact import calibrated_threshold
from apc_bench.results.aggregate import System
from apc_bench.results.far_apart import far_apart

PATCHCORE = System("patchcore", 0, "PatchCore", "patchcore", "builtin", (0, 1))
ALLOWED = 0.05


def scored(calibrating: list[float], normal: list[float], defects: list[float]) -> pl.DataFrame:
    """A trial's scored images, without a memory bank."""
    kinds = [("calibration", False, calibrating), ("test", False, normal), ("test", True, defects)]
    rows = [
        {"image": name, "group": name, "defect_type": "hole", "label": label, "split": split}
        | {"score": score, "nearest_distance": None}
        for split, label, scores in kinds
        for place, score in enumerate(scores)
        for name in (f"{split}/{int(label)}/{place:03}.png",)
    ]
    return pl.DataFrame(
        rows, schema_overrides={"score": pl.Float32, "nearest_distance": pl.Float32}
    )


def threshold_of(table: pl.DataFrame) -> float:
    scores = table.filter(pl.col("split") == "calibration")["score"].to_numpy()
    return float(calibrated_threshold(scores, alpha=ALLOWED).value)  # type: ignore[arg-type]


def many(rng: np.random.Generator, far: int) -> pl.DataFrame:
    """100 photos that calibrate, of which the first `far` are far apart, the 001st the farthest."""
    calibrating = rng.uniform(0, 1, 100)
    calibrating[:far] += 9
    if far > 1:
        calibrating[1] = 20
    return scored(list(calibrating), list(rng.uniform(0, 1.1, 40)), list(rng.uniform(0.5, 5, 60)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_what_would_be_found_without_them_is_what_a_count_says(rng: np.random.Generator) -> None:
    tables = [many(rng, 8), many(rng, 7)]
    thresholds = [threshold_of(table) for table in tables]
    far = far_apart(PATCHCORE, tables, thresholds, ALLOWED)
    assert far is not None
    assert (far.trials, far.photos, far.calibrating) == (2, 8, 100)
    assert far.images[0] == "calibration/0/001.png"
    assert sorted(far.images) == [f"calibration/0/{place:03}.png" for place in range(8)]
    assert far.images[-1] == "calibration/0/007.png"  # far apart in one of two trials
    found, alarms = [], []
    for table, number in zip(tables, (8, 7), strict=True):
        scores = table["score"].to_numpy()
        limit = np.sort(scores[number:100])[int(np.ceil((101 - number) * 0.95)) - 1]
        alarms.append((scores[100:140] > limit).mean())
        found.append((scores[140:] > limit).mean())
    assert far.others is not None
    assert far.others.share == pytest.approx(np.mean(found))
    assert far.others.false_alarms == pytest.approx(np.mean(alarms))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((0, 0), False), ((4, 4), False), ((8, 4), True), ((8, 0, 0), False), ((8,), True)],
)
def test_it_is_said_where_they_set_the_thresholds_of_half_of_the_trials(
    rng: np.random.Generator, numbers: tuple[int, ...], said: bool
) -> None:
    tables = [many(rng, number) for number in numbers]  # four of 100 set no threshold at 5 %
    thresholds = [threshold_of(table) for table in tables]
    assert (far_apart(PATCHCORE, tables, thresholds, ALLOWED) is not None) == said


@pytest.mark.parametrize(("above", "said"), [(2.8, False), (3.2, True)])
def test_far_apart_is_beyond_three_interquartile_ranges(above: float, said: bool) -> None:
    usual = np.linspace(0, 1, 93)
    low, high = np.quantile([*usual, *[9.0] * 7], (0.25, 0.75))  # of 100, whatever the seven are
    table = scored([*usual, *[high + above * (high - low)] * 7], [0.5], [0.5, 2.0])
    assert (far_apart(PATCHCORE, [table], [threshold_of(table)], ALLOWED) is not None) == said


def test_photos_that_were_learned_from_are_named_by_their_distance(
    rng: np.random.Generator,
) -> None:
    """Of 100 photos the first 30 are held out; 8 of the others are far apart."""
    table = many(rng, 0)
    distances = np.full(len(table), np.nan)
    distances[:100] = table["score"][:100]
    distances[40:48] += 9
    held_out = pl.int_range(pl.len()) < 30
    learned = (pl.col("split") == "calibration") & ~held_out
    table = table.with_columns(
        split=pl.when(learned).then(pl.lit("learned")).otherwise("split"),
        score=pl.when(learned).then(None).otherwise("score"),
        nearest_distance=pl.Series(distances, dtype=pl.Float32).fill_nan(None),
    )
    threshold = float(np.sort(distances[:100])[95])
    far = far_apart(PATCHCORE, [table], [threshold], ALLOWED)
    assert far is not None
    assert sorted(far.images) == [f"calibration/0/{place:03}.png" for place in range(40, 48)]
    assert (far.photos, far.calibrating) == (8, 100)
    assert far.others is not None
    limit = np.sort(np.delete(distances[:100], range(40, 48)))[int(np.ceil(93 * 0.95)) - 1]
    assert far.others.share == pytest.approx((table["score"][140:].to_numpy() > limit).mean())


def test_too_few_others_for_a_threshold_leave_open_what_would_be_found() -> None:
    table = scored([*np.linspace(0, 1, 18), 9.0], [0.5], [0.5, 2.0])
    far = far_apart(PATCHCORE, [table], [9.0], ALLOWED)
    assert far is not None
    assert (far.images, far.others) == (["calibration/0/018.png"], None)


def test_without_a_threshold_or_photos_that_calibrate_nothing_is_said() -> None:
    few = scored([0.0, 1.0, 9.0], [0.5], [2.0])
    assert far_apart(PATCHCORE, [few], [None], ALLOWED) is None
    assert far_apart(PATCHCORE, [scored([], [0.5], [2.0])], [1.0], ALLOWED) is None
