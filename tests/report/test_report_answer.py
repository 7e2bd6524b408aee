"""What a cross-fitted run answers: shares, ranks and chance against scipy, scikit-learn and brute
force, and the words.
"""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

from apc_bench.results.aggregate import System
from apc_bench.results.crossfit import CrossFitSummary, Detections, Photo, crossfit_summaries
from apc_bench.results.reading import read_results
from apc_bench.statistics.proportions import paired_interval, sign_test, wilson
from apc_bench.store.run import Run
from apc_bench.tables.crossfit_summary import sentences

JOB = """
protocol: crossfit
folds: 3
image_size: 32
methods:
  patchcore: {title: PatchCore, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  plus: {title: APC+, detector: apc+, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32, classifier_steps: 5}}
"""


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_interval_of_a_share_is_scipys(number, data):
    hits = data.draw(st.integers(0, number))
    expected = stats.binomtest(hits, number).proportion_ci(method="wilson")
    assert wilson(hits / number, number) == pytest.approx((expected.low, expected.high))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 20))
def test_chance_of_found_or_not_is_mcnemars_exact_test(up, down, ties):
    gains = [1.0] * up + [-1.0] * down + [0.0] * ties
    if up + down > 13:
        return
    expected = stats.binomtest(up, up + down).pvalue if up + down else 1.0
    assert sign_test(gains) == pytest.approx(expected)


def test_chance_of_shares_is_that_of_all_signs():
    gains = [0.4, -0.2, 0.6, 0.2, 0.0, 1.0]
    signs = itertools.product((-1, 1), repeat=5)
    means = [abs(np.dot(sign, [0.4, -0.2, 0.6, 0.2, 1.0])) for sign in signs]
    assert sign_test(gains) == pytest.approx(np.mean(np.array(means) >= 2.0 - 1e-9))


def test_the_interval_of_a_difference_is_bonett_and_prices_and_has_a_width_where_nothing_differs():
    gains = [1.0] * 14 + [-1.0] * 3 + [0.0] * 33
    up, down, n = 15 / 52, 4 / 52, 52
    reach = stats.norm.ppf(0.975) * np.sqrt((up + down - (up - down) ** 2) / n)
    assert paired_interval(gains) == pytest.approx((up - down - reach, up - down + reach))
    low, high = paired_interval([0.0] * 10)
    assert low == -high
    assert high > 0.1


@pytest.fixture(scope="module")
def crossfitted(tmp_path_factory):
    place = tmp_path_factory.mktemp("crossfit")
    job = place / "job.yaml"
    job.write_text(JOB)
    data = make_category(place / "data", train=44, good=4, defects=7)
    command = (
        "sweep",
        "--job",
        job,
        "--data",
        data,
        "--run",
        place / "run",
        "--cache",
        place / "cache",
        "--executor",
        "serial",
    )
    return place / "run", apc_bench(*command).output


def test_the_sentence_agrees_with_the_files_of_the_run(crossfitted):
    run, output = crossfitted
    scores = pl.read_parquet(f"{run}/scores/**/*.parquet", hive_partitioning=True).filter(
        pl.col("split") == "test"
    )
    metrics = pl.read_parquet(f"{run}/metrics/**/*.parquet", hive_partitioning=True).filter(
        pl.col("subset") == "test"
    )
    (answer,) = crossfit_summaries(read_results(Run.open(run)), Run.open(run))
    assert [finds.system.title for finds in answer.detections] == ["PatchCore", "APC+"]
    for finds, method in zip(answer.detections, ("patchcore", "plus"), strict=True):
        found, ranks, alarms = {}, [], []
        for seed in range(3):
            (threshold,) = metrics.filter((pl.col("method") == method) & (pl.col("seed") == seed))[
                "threshold"
            ]
            rows = scores.filter((pl.col("method") == method) & (pl.col("seed") == seed))
            normal = rows.filter(~pl.col("label"))["score"].to_list()
            alarms += [score > threshold for score in normal]
            for image, score in rows.filter("label").select("image", "score").iter_rows():
                assert image not in found, "each photo is tested once"
                found[image] = score > threshold
                ranks.append(roc_auc_score([0] * len(normal) + [1], [*normal, score]))
        assert len(found) == 7
        assert finds.share == pytest.approx(np.mean(list(found.values())))
        assert finds.false_alarms == pytest.approx(np.mean(alarms))
        assert finds.pooled_auroc == pytest.approx(np.mean(ranks))
    for line in sentences(answer):
        assert line in output
    assert "with your 7 defect photos (4 at a time to learn from) APC+ finds" in output
    assert "chance (p = " in output
    assert sentences(answer)[0] in apc_bench("report", run).output
    page = (run / "report" / "index.html").read_text()
    assert "with your 7 defect photos" in page
    assert "a seed is a fold here: of 3 folds" in page
    assert (run / "report" / "tables" / "answer.csv").is_file()


def test_more_shots_than_a_fold_leaves_are_refused_and_two_assignments_are_pooled(
    crossfitted, tmp_path
):
    run, _ = crossfitted
    place = run.parent
    command = (
        "sweep",
        "--job",
        place / "job.yaml",
        "--data",
        place / "data",
        "--cache",
        place / "cache",
        "--executor",
        "serial",
    )
    too_many = apc_bench(*command, "--run", tmp_path / "run", "--shots", "5", code=2).output
    assert (
        "shots 5: with 3 folds category 'part' has 4 to learn from in each; pass --shots 4 or leave"
        " it out" in too_many
    )
    odd = apc_bench(*command, "--run", tmp_path / "run", "--seeds", "0,1", code=2).output
    assert (
        "with 3 folds seeds are folds: leave them out, or give 0,1,...,5 for two assignments (got"
        " [0, 1])" in odd
    )
    other = apc_bench(
        *command,
        "--run",
        run,
        "--protocol",
        "holdout",
        "--reserve",
        "5",
        "--seeds",
        "0",
        "--shots",
        "1",
        code=2,
    ).output
    assert "protocol" in other
    twice = apc_bench(*command, "--run", tmp_path / "run", "--seeds", "0,1,2,3,4,5").output
    assert "with your 7 defect photos" in twice


SYSTEMS = [
    System("patchcore", 0, "PatchCore", "patchcore", "builtin", (0,)),
    System("apc", 8, "APC", "apc", "builtin", (0,)),
]


def answer_of(
    before: list[float], after: list[float], kinds: list[str], undefined: str | None = None
) -> CrossFitSummary:
    def finds(system: System, found: list[float]) -> Detections:
        photos = [
            Photo(f"bad/{kind}/{n}.png", f"g{n}", kind, share, share)
            for n, (share, kind) in enumerate(zip(found, kinds, strict=True))
        ]
        return Detections(system, photos, 0.04, undefined)

    return CrossFitSummary(
        "bracket", 8, [finds(SYSTEMS[0], before), finds(SYSTEMS[1], after)], 0.05
    )


def test_what_is_beyond_chance_is_said_and_what_to_photograph_next():
    kinds = ["dent"] * 5 + ["scratch"] * 5
    lines = sentences(answer_of([0] * 10, [1] * 7 + [0, 0, 0.5], kinds))
    assert lines[0].startswith(
        "bracket: with your 10 defect photos (8 at a time to learn from) APC finds 75 of 100"
        " defects"
    )
    assert (
        "at 5 % false alarms, PatchCore 0 (95 % interval 0 to 28); the difference, +75 ("
        in lines[0]
    )
    assert lines[0].endswith("is beyond chance (p = 0.0078).")
    assert (
        lines[1] == "False alarms on the normal photos that were set apart: PatchCore 4 %, APC 4 %."
    )
    assert lines[2] == "Photograph next, by what APC misses most: scratch (50 % of 5 missed)."
    assert "bad/scratch/7.png, bad/scratch/8.png" in lines[3]


def test_too_few_defects_a_missing_threshold_and_nothing_missed_are_said():
    assert (
        "4 defects cannot show any difference beyond chance; 6 can"
        in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[2]
    )
    assert "misses none of them" in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[-1]
    (line,) = sentences(
        answer_of(
            [0] * 9,
            [1] * 9,
            ["dent"] * 9,
            undefined="10 calibration images cannot promise 5 % false alarms",
        )
    )
    assert (
        "there is no threshold: 10 calibration images cannot promise 5 % false alarms. Add normal"
        " photos." in line
    )
