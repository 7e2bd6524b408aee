"""A run folder: what is done is whole, what is damaged is named and costs one step, and anyone can
read it.
"""

import json
from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from store_support import COLUMNS, ROWS, TRIALS, TUNING, result_of

from apc_bench.errors import DamagedFile, RunError
from apc_bench.store.files import read_json
from apc_bench.store.run import Run
from apc_bench.store.schemas import METRICS_TABLE, SCHEMA_VERSION


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
    extractor = run.extractors.read("e0")
    assert extractor.weights.read_bytes() == b"weights"
    assert extractor.metadata["seconds"] == "1.5"
    assert extractor.curves["loss"].to_list() == [0.5]


def test_a_step_that_was_not_done_is_not_done_and_not_damaged(run):
    other = replace(TRIALS[0], result_key="k9")
    assert not run.is_done(other)
    assert not run.is_done(replace(TUNING, result_key="e9"))
    assert run.damaged == []
    with pytest.raises(RunError, match="no step k9"):
        run.scores("k9")


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
    run.planned.add([])
    assert run.metrics().schema == pl.from_arrow(METRICS_TABLE.empty_table()).schema
    assert run.failures() == []


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="is no run folder"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DamagedFile, match=r"run\.json"):
        Run.open(tmp_path)
    with pytest.raises(DamagedFile):
        read_json(tmp_path / "none.json")


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


def test_only_half_written_files_are_cleaned_away(run):
    before = sorted(run.path.rglob("*"))
    for folder in (run.path, run.path / "metrics", run.path / "extractors"):
        (folder / ".tmp-k1.parquet.host-1-abc").write_text("half")
    assert run.clean() == 3
    assert sorted(run.path.rglob("*")) == before
