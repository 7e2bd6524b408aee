"""Names that look like numbers, dates or truth values come back as they were, in every reader and
by the lines of docs/run-folder.md; and a run of schema 1 stays one.
"""

import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from store_support import TRIALS, TUNING, result_of

from apc_bench.datasets.samples import Sample
from apc_bench.datasets.split import Assigned, Split
from apc_bench.plan import Step
from apc_bench.store.run import Run

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests/data/run_of_877af49/files.tar.xz"
NUMBERS = ("01", "1", "0017", "17", "1e5", "007.5")
SETS = {
    "numbers": NUMBERS,
    "dates": ("2024-01-01", "2024-01-02"),
    "truths": ("true", "false"),
    "words": ("null", "nan", "inf", "None", "NA", "0x1f", "bottle"),
}
ROWS = {"scores": 4, "maps": 4, "curves": 1, "features": 2, "metrics": 1, "splits": 1}


def step_of(name: str) -> Step:
    """A trial whose dataset, category and method are all called so."""
    return replace(TRIALS[1], dataset="2024", category=name, method=name, seed=3)


def run_of(path: Path, names: tuple[str, ...]) -> Run:
    run = Run(path)
    for index, name in enumerate(names):
        step = replace(step_of(name), result_key=f"k{index}", trial_id=f"t{index}")
        run.planned.add([step])
        row = Assigned(Sample("a", None, "good", True, "a"), "0", "train", None, True)
        run.splits.write(Split("2024", name, 3, 1, (row,)))
        run.trials.write(step, result_of(step))
        tuning = replace(TUNING, dataset="2024", category=name, method=name, result_key=f"e{index}")
        run.extractors.write(tuning, b"weights", [{"step": 1, "loss": 0.5}], {})
    return run


@pytest.fixture(scope="module", params=SETS)
def named(request, tmp_path_factory) -> tuple[Path, tuple[str, ...]]:
    names = SETS[request.param]
    return run_of(tmp_path_factory.mktemp(request.param), names).path, names


def in_polars(folder: Path) -> list[str]:
    return pl.read_parquet(f"{folder}/**/*.parquet")["category"].to_list()


def in_polars_hive(folder: Path) -> list[str]:
    frame = pl.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
    return frame["category"].to_list()


def in_polars_by_folder(folder: Path) -> list[str]:
    frame = pl.scan_parquet(folder).select("category").collect()
    return frame["category"].to_list()


def in_duckdb(folder: Path) -> list[str]:
    found = duckdb.sql(f"select category from read_parquet('{folder}/**/*.parquet')")
    return [category for (category,) in found.fetchall()]


def in_duckdb_hive(folder: Path) -> list[str]:
    found = duckdb.sql(
        f"select category from read_parquet('{folder}/**/*.parquet', hive_partitioning=true)"
    )
    return [category for (category,) in found.fetchall()]


def in_pyarrow(folder: Path) -> list[str]:
    return pq.read_table(folder)["category"].to_pylist()  # type: ignore[no-any-return]


def in_pyarrow_hive(folder: Path) -> list[str]:
    table = ds.dataset(folder, partitioning="hive").to_table(columns=["category"])
    return table["category"].to_pylist()  # type: ignore[no-any-return]


def in_pandas(folder: Path) -> list[str]:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    return list(pandas.read_parquet(folder)["category"])


READERS: tuple[Callable[[Path], list[str]], ...] = (
    in_polars,
    in_polars_hive,
    in_polars_by_folder,
    in_duckdb,
    in_duckdb_hive,
    in_pyarrow,
    in_pyarrow_hive,
    in_pandas,
)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("read", READERS)
def test_categories_come_back_as_they_are_called(named, kind, read):
    run, names = named
    if kind == "maps" and "duckdb" in read.__name__:
        kind = "curves"  # DuckDB reads no float16
    expected = sorted(name for name in names for _ in range(ROWS[kind]))
    assert sorted(read(run / kind)) == expected


def test_every_file_says_whose_it_is_in_columns_of_the_right_type(named):
    run, names = named
    files = sorted(run.rglob("*.parquet"))
    assert len(files) == 1 + 7 * len(names)
    for path in files:
        frame = pl.read_parquet(path, hive_partitioning=False)
        assert set(frame["dataset"]) == {"2024"}
        assert set(frame["category"]) <= set(names), path
        columns = {"seed": pl.Int32, "dataset": pl.String, "category": pl.String}
        if "splits" not in path.parts:
            columns |= {"method": pl.String, "shots": pl.Int16}
            assert frame["method"].to_list() == frame["category"].to_list()
        assert {name: frame.schema[name] for name in columns} == columns, path


def test_the_lines_of_the_page_read_a_run(named):
    run, names = named
    page = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(lines.replace("RUN", str(run)), found)
    assert found["scores"]["category"].value_counts().sort("category").rows() == [
        (name, ROWS["scores"]) for name in sorted(names)
    ]


def test_what_is_read_back_has_no_columns_but_its_own(run):
    assert run.scores("k1").columns[0] == "image" and "category" not in run.curves("k1").columns
    assert run.extractors.read("e0").curves.columns[0] == "step"


def test_a_file_that_lacks_whose_it_is_is_damaged(run):
    (path,) = (run.path / "scores").rglob("k2.parquet")
    table = pq.read_table(path, partitioning=None)
    from apc_bench.store.files import write_table  # as a program of today, without the columns

    metadata = {"kind": "scores", "result_key": "k2", "trial_id": "t2"}
    write_table(path, table.drop_columns(["method"]).replace_schema_metadata(None), metadata)
    with pytest.raises(Exception, match=r"k2\.parquet: other columns than expected"):
        run.scores("k2")


def test_a_run_of_schema_1_grows_in_its_own_layout(tmp_path):
    """So that its files are all alike for whoever reads them."""
    with tarfile.open(EARLIER) as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "runs" / "a"
    run = Run.open(path)
    before = {
        one: one.read_bytes() for one in path.rglob("*.parquet") if one.name != "plan.parquet"
    }
    assert all("dataset=" in str(one) or "extractors" in str(one) for one in before)
    dataset, trials = run.info.dataset, len(run.metrics())
    step = replace(step_of("01"), dataset=dataset)
    run.planned.add([step])
    row = Assigned(Sample("a", None, "good", True, "a"), "0", "train", None, True)
    run.splits.write(Split(dataset, "01", 3, 1, (row,)))
    run.trials.write(step, result_of(step))
    run.extractors.write(replace(TUNING, dataset=dataset), b"w", [{"step": 1}], {})

    again = Run.open(path)
    assert again.is_done(step) and len(again.metrics()) == trials + 1 and not again.damaged
    assert again.split("01", 3).rows == (row,)
    assert all(one.read_bytes() == data for one, data in before.items())
    for kind in ("scores", "maps", "curves", "metrics", "splits"):
        shapes = {
            (str(pq.read_schema(one).remove_metadata()) if kind != "maps" else "")
            for one in (path / kind).rglob("*.parquet")
        }
        assert len(shapes) == 1, kind
        assert (path / kind / f"dataset={dataset}" / "category=01").is_dir()
        assert [one.name for one in (path / kind).iterdir()] == [f"dataset={dataset}"]
    for one in path.rglob("*.parquet"):
        assert pq.read_schema(one).metadata[b"apc_bench.schema"] == b"1", one
    assert json.loads((path / "run.json").read_text())["schema"] == 1


@pytest.mark.parametrize("name", ["exp:1", "C:\\runs", "s3:x", "a#b [1]*{x}%20?", "lr=1"])
def test_a_relative_path_is_no_address_and_no_pattern(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run = run_of(Path(name), ("01", "1"))
    assert sorted(run.metrics()["category"]) == ["01", "1"] and not run.damaged
    assert len(run.scores("k1")) == ROWS["scores"] and run.image_counts(["k0"]) == {"k0": 4}
    assert [path.name for path in tmp_path.iterdir()] == [name]
