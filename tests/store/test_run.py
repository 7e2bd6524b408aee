"""A run folder: what is done is whole, what is damaged is named and costs one step, and anyone can
read it.
"""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from apc_bench.datasets.samples import Category, Sample
from apc_bench.datasets.split import make_split
from apc_bench.errors import ApcError, DamagedFile, RunError, TakenOver
from apc_bench.plan import EXTRACTOR, TRIAL, Step
from apc_bench.settings.protocols import Holdout
from apc_bench.settings.sweep import Method
from apc_bench.store import attempts
from apc_bench.store.info import RunInfo
from apc_bench.store.run import Run, TrialResult
from apc_bench.store.schemas import (
    CURVES,
    METRICS_TABLE,
    PLAN,
    SCHEMA_VERSION,
    SCORES,
    TRAINING,
    features_schema,
    maps_schema,
)

ROWS, COLUMNS = 3, 5
TUNING = Step(
    EXTRACTOR,
    "t0",
    "e0",
    "d",
    "01",
    "apc",
    5,
    0,
    None,
    Method(detector="apc", backbone="builtin"),
    1.0,
)
TRIALS = tuple(
    Step(
        TRIAL,
        f"t{number}",
        f"k{number}",
        "d",
        category,
        method,
        shots,
        seed,
        needs,
        Method(detector=method, backbone="builtin"),
        1.0,
    )
    for number, (category, method, shots, seed, needs) in enumerate(
        [
            ("01", "apc", 5, 0, "e0"),
            ("01", "patchcore", 0, 0, None),
            ("02", "patchcore", 0, 0, None),
            ("02", "patchcore", 0, 1, None),
        ],
        start=1,
    )
)


def result_of(step: Step) -> TrialResult:
    """A small result whose numbers depend on the step."""
    number = int(step.result_key.removeprefix("k"))
    images = [f"test/crack/{index}.png" for index in range(4)]
    maps = (np.arange(4 * ROWS * COLUMNS).reshape(4, ROWS, COLUMNS) + number).astype(np.float16)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(maps.reshape(-1)), ROWS * COLUMNS)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 3)
    places = [
        pa.array(["a", "b"]),
        pa.array([0, 1], pa.int16()),
        pa.array([0, 1], pa.int16()),
        pa.array(["train", "train"]),
    ]
    identity = {
        name: getattr(step, name)
        for name in ("result_key", "trial_id", "dataset", "category", "method", "shots", "seed")
    }
    return TrialResult(
        scores=pa.Table.from_pylist(
            [{"image": image, "score": number + index / 7} for index, image in enumerate(images)],
            SCORES,
        ),
        maps=pa.Table.from_arrays([pa.array(images), flat], schema=maps_schema((ROWS, COLUMNS))),
        map_marks={"grid": f"{ROWS}x{COLUMNS}", "scale": "2.0", "unit": "distance"},
        curves=pa.Table.from_pylist(
            [{"curve": "roc", "level": "image", "x": 0.0, "y": 0.5, "threshold": 1.0}], CURVES
        ),
        metrics=pa.Table.from_pylist(
            [
                {
                    **identity,
                    "subset": "test",
                    "image_auroc": number / 10,
                    "undefined": [("au_pro", "no masks")],
                }
            ],
            METRICS_TABLE,
        ),
        features=pa.Table.from_arrays([*places, vectors], schema=features_schema(3)),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run folder with one extractor and four trials, as a sweep leaves it."""
    run = Run(tmp_path_factory.mktemp("run"))
    run.write_info(RunInfo(dataset="d"))
    run.write_plan([TUNING, *TRIALS])
    curves = pa.Table.from_pylist([{"step": 1, "loss": 0.5}], TRAINING)
    run.write_extractor(TUNING, b"weights", curves, {"seconds": "1.5", "notes": ""})
    for step in TRIALS:
        run.write_trial(step, result_of(step))
    return run.path


@pytest.fixture
def run(finished, tmp_path) -> Run:
    return Run.open(Path(shutil.copytree(finished, tmp_path / "run")))


def files_of(run: Run, step: Step) -> list[Path]:
    return sorted(path for path in run.path.rglob(f"{step.result_key}.*"))


def alter(path: Path) -> None:
    data = path.read_bytes()
    third = len(data) // 3
    path.write_bytes(
        data[:third] + bytes(value ^ 255 for value in data[third : 2 * third]) + data[2 * third :]
    )


def test_what_was_written_is_done_and_is_read_back(run):
    assert all(run.is_done(step) for step in (TUNING, *TRIALS))
    assert run.damaged == []
    for step in TRIALS:
        result = result_of(step)
        assert run.scores(step.result_key).equals(pl.from_arrow(result.scores))
        assert run.curves(step.result_key).equals(pl.from_arrow(result.curves))
        images, maps = run.maps(step.result_key)
        stored = np.stack(result.maps["map"].to_pylist()).reshape(-1, ROWS, COLUMNS)
        assert images == result.maps["image"].to_pylist()
        assert np.array_equal(maps, stored.astype(np.float32) / 2)
    assert run.metrics().equals(
        pl.from_arrow(pa.concat_tables([result_of(step).metrics for step in TRIALS]))
    )
    weights, marks, curves = run.extractor("e0")
    assert weights.read_bytes() == b"weights"
    assert marks["seconds"] == "1.5"
    assert curves["loss"].to_list() == [0.5]


def test_a_step_that_was_not_done_is_not_done_and_not_damaged(run):
    other = replace(TRIALS[0], result_key="k9")
    assert not run.is_done(other)
    assert not run.is_done(replace(TUNING, result_key="e9"))
    assert run.damaged == []
    with pytest.raises(RunError, match="no step k9"):
        run.scores("k9")


SPOILT: dict[str, Callable[[Path], object]] = {
    "altered": alter,
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("kind", ["scores", "maps", "curves", "features", "metrics"])
def test_a_trial_is_not_done_when_any_of_its_files_is_spoilt_and_the_file_is_named(run, kind, how):
    (victim,) = (run.path / kind).rglob("k2.parquet")
    SPOILT[how](victim)
    assert not run.is_done(TRIALS[1])
    if (kind, how) == ("metrics", "missing"):
        assert run.damaged == []  # never written last, so never done
    else:
        assert len(run.damaged) == 1
        assert str(victim) in run.damaged[0]
    assert all(run.is_done(step) for step in (TUNING, TRIALS[0], *TRIALS[2:]))
    run.write_trial(TRIALS[1], result_of(TRIALS[1]))
    assert run.is_done(TRIALS[1])


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
@pytest.mark.parametrize("how", ["altered", "empty"])
def test_an_extractor_is_not_done_when_weights_or_curves_are_spoilt(run, ending, how):
    SPOILT[how](run.path / "extractors" / f"e0.{ending}")
    assert not run.is_done(TUNING)
    assert not run.has_extractor("e0")
    assert f"e0.{ending}" in run.damaged[0]
    with pytest.raises(DamagedFile):
        run.extractor("e0")


def test_a_result_under_another_name_is_not_that_result(run):
    for kind in ("scores", "maps", "curves", "features", "metrics"):
        (here,), (there,) = (
            (run.path / kind).rglob("k3.parquet"),
            (run.path / kind).rglob("k4.parquet"),
        )
        shutil.copy(here, there)
    assert not run.is_done(TRIALS[3])
    assert "holds the result k3" in run.damaged[0]
    for read in (run.scores, run.maps, run.curves):
        with pytest.raises(DamagedFile, match="holds the result k3"):
            read("k4")
    assert run.metrics()["result_key"].to_list() == ["k1", "k2", "k3"]
    for ending in ("parquet", "safetensors"):
        shutil.copy(
            run.path / "extractors" / f"e0.{ending}", run.path / "extractors" / f"e1.{ending}"
        )
    assert not run.has_extractor("e1")


def test_files_of_one_trial_are_not_taken_for_each_other(run):
    (scores,), (maps,) = (
        (run.path / "scores").rglob("k1.parquet"),
        (run.path / "maps").rglob("k1.parquet"),
    )
    shutil.copy(scores, maps)
    with pytest.raises(DamagedFile, match="other columns"):
        run.maps("k1")
    assert not run.is_done(TRIALS[0])


def test_flipped_bits_in_maps_are_never_silently_wrong(run):
    """The grid and the scale stand in the footer, which no page checksum covers."""
    (path,) = (run.path / "maps").rglob("k1.parquet")
    whole, (_, expected) = path.read_bytes(), run.maps("k1")
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.choice(len(whole) * 8, 200, replace=False):
        data = bytearray(whole)
        data[place // 8] ^= 1 << int(place % 8)
        path.write_bytes(data)
        try:
            _, maps = run.maps("k1")
        except ApcError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert np.array_equal(maps, expected)
    assert refused > 100


def test_damaged_metrics_are_named_and_the_rest_is_read(run):
    (victim,) = (run.path / "metrics").rglob("k2.parquet")
    alter(victim)
    assert run.metrics()["result_key"].to_list() == ["k1", "k3", "k4"]
    assert [str(victim) in line for line in run.damaged] == [True]


def test_several_damaged_metrics_are_named_in_the_order_of_the_plan(run):
    victims = [next((run.path / "metrics").rglob(f"{key}.parquet")) for key in ("k4", "k1", "k3")]
    for victim in victims:
        alter(victim)
    assert run.metrics()["result_key"].to_list() == ["k2"]
    assert [line.split(":")[0] for line in run.damaged] == [
        str(victims[1]),
        str(victims[2]),
        str(victims[0]),
    ]


def test_images_are_counted_without_those_of_damaged_scores(run):
    keys = [step.result_key for step in TRIALS]
    assert run.image_counts(keys) == dict.fromkeys(keys, 4)
    next((run.path / "scores").rglob("k1.parquet")).write_bytes(b"")
    next((run.path / "scores").rglob("k2.parquet")).unlink()
    shutil.copy(
        next((run.path / "scores").rglob("k3.parquet")),
        next((run.path / "scores").rglob("k4.parquet")),
    )
    assert run.image_counts(keys) == {"k3": 4}


def test_the_plan_is_the_union_of_all_sweeps_on_the_folder(run):
    added = replace(TRIALS[3], seed=7, result_key="k5", trial_id="t5")
    run.write_plan([added, TRIALS[0]])
    assert run.plan()["result_key"].to_list() == ["e0", "k1", "k2", "k3", "k4", "k5"]
    assert run.plan().schema == pl.from_arrow(PLAN.empty_table()).schema
    assert run.plan()["title"].to_list()[-1] == "patchcore"


def test_a_damaged_plan_is_named_and_written_anew_instead_of_ending_every_sweep(run):
    alter(run.path / "plan.parquet")
    with pytest.raises(DamagedFile, match=r"plan\.parquet"):
        run.plan()
    run.write_plan(TRIALS[:2])
    assert run.plan()["result_key"].to_list() == ["k1", "k2"]
    assert "plan.parquet" in run.damaged[0]
    run.write_plan([TUNING, *TRIALS])
    assert len(run.metrics()) == 4


def test_the_split_is_stored_with_hashes_groups_and_the_draw(run):
    samples = [
        Sample("train/good/0.png", None, "good", True, "t"),
        Sample("test/good/0.png", None, "good", False, "g"),
    ]
    samples += [
        Sample(
            f"test/crack/{i}.png",
            f"ground_truth/crack/{i}_mask.png",
            "crack",
            False,
            f"c{i // 2}",
            "dev",
        )
        for i in range(4)
    ]
    category = Category("01", Path("01"), tuple(sorted(samples, key=lambda sample: sample.image)))
    split = make_split(
        category,
        {sample.image: sample.image[::-1] for sample in samples},
        Holdout(reserve=1),
        dataset="d",
        seed=3,
    )
    run.write_split(split)
    frame = run.split("01", 3)
    assert frame["image"].to_list() == [sample.image for sample in category.samples]
    assert frame["sha256"].to_list() == [sample.image[::-1] for sample in category.samples]
    assert frame["split"].to_list() == [row.split for row in split.rows]
    assert frame["draw"].to_list() == [row.draw for row in split.rows]
    assert frame["group"].to_list() == [sample.group for sample in category.samples]
    assert frame.filter(pl.col("part") == "dev")["mask"].null_count() == 0
    assert frame["label"].sum() == 4


def test_polars_and_duckdb_read_the_folders_alone(run):
    """Also where a category is called 01, which looks like a number."""
    folders = {
        "dataset": pl.String,
        "category": pl.String,
        "method": pl.String,
        "shots": pl.Int16,
        "seed": pl.Int32,
    }
    frame = pl.read_parquet(f"{run.path}/scores/**/*.parquet", hive_schema=folders)
    assert len(frame) == 16
    assert frame.group_by("category", "method", "shots", "seed").agg(pl.col("score").min()).sort(
        "score"
    )["score"].to_list() == [1, 2, 3, 4]
    assert set(frame["category"]) == {"01", "02"}
    metrics = pl.read_parquet(f"{run.path}/metrics/**/*.parquet")
    assert sorted(metrics["image_auroc"].to_list()) == [0.1, 0.2, 0.3, 0.4]
    query = (
        f"select category, method, max(score) from read_parquet('{run.path}/scores/**/*.parquet',"
        " hive_partitioning=true, hive_types_autocast=0)"
    )
    rows = duckdb.sql(f"{query} group by all order by all").fetchall()
    assert [(category, method) for category, method, _ in rows] == [
        ("01", "apc"),
        ("01", "patchcore"),
        ("02", "patchcore"),
    ]


def test_an_empty_run_gives_an_empty_table_with_all_columns(tmp_path):
    run = Run(tmp_path)
    run.write_plan([])
    assert run.metrics().schema == pl.from_arrow(METRICS_TABLE.empty_table()).schema
    assert run.failures() == []


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (json.dumps({"schema": SCHEMA_VERSION + 1}), RunError, "newer apc-bench"),
        (json.dumps({"dataset": "d"}), DamagedFile, "no schema version"),
        ("[]", DamagedFile, "not a JSON object"),
        ('{"schema": 1', DamagedFile, "not a readable JSON"),
        ('{"schema": ' + "9" * 5000 + "}", DamagedFile, "not a readable JSON"),
        ("", DamagedFile, "not a readable JSON"),
    ],
)
def test_a_run_json_that_cannot_be_used_is_told_in_one_line(tmp_path, text, kind, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(kind, match=message) as error:
        Run.open(tmp_path)
    assert str(tmp_path / "run.json") in str(error.value) or str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_lock_is_free_after_its_block_and_taken_within_it(tmp_path):
    run = Run(tmp_path / "new")
    lock = run.lock()
    with lock:
        with pytest.raises(RunError, match="in use by process"), Run(tmp_path / "new").lock():
            pytest.fail("two sweeps in one folder")
        (tmp_path / "new" / ".holder.json").write_text("[]")
        with pytest.raises(RunError, match="in use by another sweep"), Run(tmp_path / "new").lock():
            pytest.fail("two sweeps in one folder")
    with run.lock():  # `lock` still lives; the folder is free all the same
        pass


def test_a_worker_of_a_dead_sweep_writes_nothing_into_the_folder_of_a_later_one(run):
    with run.lock() as first:
        pass
    with run.lock() as second:
        before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
        orphan = Run(run.path, first)
        with pytest.raises(TakenOver, match="taken over by a later sweep"):
            orphan.write_trial(TRIALS[1], result_of(TRIALS[2]))
        with pytest.raises(TakenOver, match="taken over by a later sweep"):
            orphan.write_extractor(TUNING, b"other", pa.Table.from_pylist([], TRAINING), {})
        assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
        Run(run.path, second).write_trial(TRIALS[1], result_of(TRIALS[1]))
    assert run.is_done(TRIALS[1])


def test_a_file_in_the_place_of_the_run_folder_is_told(tmp_path):
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(RunError, match="a file is in the way"), Run(path).lock():
            pytest.fail("no folder was locked")


def test_failures_are_the_steps_whose_last_attempt_failed(run):
    for key, events in {
        "k1": ("start", "failed", "start", "done"),
        "k2": ("start", "done", "start", "failed"),
        "k3": ("start", "lost"),
    }.items():
        for event in events:
            attempts.record(
                run.attempts_folder,
                event,
                result_key=key,
                kind="trial",
                step=key,
                reason="why" if event == "failed" else None,
            )
    attempts.record(
        run.attempts_folder,
        "failed",
        result_key="k99",
        kind="trial",
        step="of no plan",
        reason="why",
    )
    assert [
        (failure.result_key, failure.category, failure.reason) for failure in run.failures()
    ] == [
        ("k2", "01", "why"),
        ("k3", "02", "lost"),
    ]


def test_attempts_keep_names_that_are_no_utf8_and_signs_that_look_like_ends_of_lines(tmp_path):
    reasons = ["a/caf\udce9.png: empty", "two\u2028lines\x85and\x1cmore", 'quotes " and \\ and \n']
    for reason in reasons:
        attempts.record(
            tmp_path,
            attempts.FAILED,
            result_key="k",
            kind="trial",
            step="·",
            reason=reason,
            traceback=reason,
        )
    assert [attempt.reason for attempt in attempts.read_attempts(tmp_path)] == reasons


def _log(folder: Path, process: int) -> None:
    for number in range(50):
        attempts.record(
            folder, attempts.START, result_key=f"{process}-{number}", kind="trial", step="x" * 3000
        )


def test_attempts_of_several_processes_are_all_kept(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_log, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert {attempt.result_key for attempt in attempts.read_attempts(tmp_path)} == {
        f"{p}-{n}" for p in range(4) for n in range(50)
    }


def test_only_half_written_files_are_cleaned_away(run):
    before = sorted(run.path.rglob("*"))
    for folder in (run.path, run.path / "metrics", run.path / "extractors"):
        (folder / ".tmp-k1.parquet.host-1-abc").write_text("half")
    assert run.clean() == 3
    assert sorted(run.path.rglob("*")) == before
