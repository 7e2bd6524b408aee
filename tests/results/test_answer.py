"""What a cross-fitted run finds, against its files and scikit-learn."""

import re

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from support import apc_bench, make_category

from apc_bench.results.answer import answers
from apc_bench.results.memorisation import memorisations
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run
from apc_bench.tables.answer_in_words import sentences

JOB = """
protocol: crossfit
folds: 3
image_size: 32
methods:
  patchcore: {title: PatchCore, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  plus: {title: APC+, detector: apc+, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32, classifier_steps: 5}}
"""


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
    results = read_results(Run.open(run))
    (answer,) = answers(results, Run.open(run))
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
    for line in sentences(results, answer):
        assert line in output
    assert "With your 7 defect photos (4 at a time to learn from) APC+ finds" in output
    assert "chance (p = " in output
    assert sentences(results, answer)[0] in apc_bench("report", run).output
    page = (run / "report" / "index.html").read_text()
    assert "With your 7 defect photos" in page
    assert "of 3 folds of the groups of anomalous images, each is tested" in page
    visible = re.sub(
        r"<(script|style|pre).*?</\1>|<[^>]*>",
        "",
        page[: page.index("<h2>Provenance")],
        flags=re.DOTALL,
    )
    assert [line for line in visible.splitlines() if re.search(r"\bseeds?\b", line)] == [
        line for line in visible.splitlines() if "files and commands call a fold a seed" in line
    ]
    assert "Categories × folds" in page
    assert (run / "report" / "tables" / "answer.csv").is_file()


def test_a_fold_is_unseen_by_what_was_drawn_from_the_others(crossfitted):
    run = Run.open(crossfitted[0])
    (found,) = memorisations(read_results(run), run)
    assert sorted(found.trials) == [("part", 0), ("part", 1), ("part", 2)]
    drawn = [len(trial.by_group["drawn"]) for trial in found.trials.values()]
    unseen = [len(trial.by_group["unseen"]) for trial in found.trials.values()]
    assert drawn == [4, 4, 4]
    assert sum(unseen) == 7
    assert (crossfitted[0] / "report" / "tables" / "memorisation.csv").is_file()


def test_more_shots_than_a_fold_leaves_are_refused_and_two_assignments_are_pooled(
    crossfitted, tmp_path
):
    run, _ = crossfitted
    place = run.parent
    command = (
        "sweep",
        "--no-page",
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
    assert "With your 7 defect photos" in twice
