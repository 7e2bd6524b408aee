"""Damaged run folders: each damage is named, what is healthy stays as it is, the rest is done again
to the same bits.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from support import apc_bench

from apc_bench.store.files import write_table
from apc_bench.store.schemas import OLDEST_SCHEMA, SCHEMA_VERSION
from apc_bench.wording import counted

CHOSEN = [
    "--job",
    "tiny",
    "--executor",
    "serial",
    "--categories",
    "weave",
    "--shots",
    "1",
    "--seeds",
    "0",
    "--features",
    "bank",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def whole(place) -> Path:
    """A finished run of a fine-tuning and two trials."""
    apc_bench("sweep", "--no-page", *CHOSEN, "--run", place / "whole", "--cache", place / "cache")
    return place / "whole"


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def sweep(run: Path, place: Path, code: int = 0) -> str:
    return apc_bench(
        "sweep", "--no-page", *CHOSEN, "--run", run, "--cache", place / "cache", code=code
    ).output.replace("\n", "")


def results_of(run: Path) -> dict[str, pl.DataFrame]:
    """Every table of the trials by its place in the run, without what a clock says."""
    results = {}
    for kind in ("scores", "maps", "features", "curves"):
        for path in run.glob(f"{kind}/**/*.parquet"):
            frame = pl.read_parquet(path, hive_partitioning=False)
            results[str(path.relative_to(run))] = frame.drop("seconds", strict=False)
    return results


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_version(version: int) -> Callable[[Path], None]:
    """Writes the file as another version of this project would."""

    def write(path: Path) -> None:
        if path.suffix == ".json":
            path.write_text(json.dumps({**json.loads(path.read_text()), "schema": version}))
            return
        table = pq.read_table(path, partitioning=None)
        metadata = {
            key.decode().removeprefix("apc_bench."): value.decode()
            for key, value in table.schema.metadata.items()
        }
        metadata = {key: value for key, value in metadata.items() if key not in ("seal", "schema")}
        write_table(path, table.replace_schema_metadata(None), metadata, version)

    return write


def without_a_column(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.drop_columns(table.column_names[-1:]), path)


def foreign(path: Path) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


TRIAL_FILES = ("scores", "maps", "features", "curves", "metrics")
DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{f"{kind} truncated": (f"{kind}/**/*.parquet", truncate) for kind in TRIAL_FILES},
    **{
        f"{kind} with a flipped bit": (f"{kind}/**/*.parquet", flip)
        for kind in ("scores", "maps", "features")
    },
    "scores empty": ("scores/**/*.parquet", empty),
    "metrics of another program": ("metrics/**/*.parquet", foreign),
    "scores of another program": ("scores/**/*.parquet", foreign),
    "metrics without a column": ("metrics/**/*.parquet", without_a_column),
    "scores gone": ("scores/**/*.parquet", Path.unlink),
    "weights gone": ("extractors/*.safetensors", Path.unlink),
    "weights with a flipped bit": ("extractors/*.safetensors", flip),
    "training curves empty": ("extractors/*.parquet", empty),
    "metrics of an older version": ("metrics/**/*.parquet", of_version(OLDEST_SCHEMA - 1)),
    "plan truncated": ("plan.parquet", truncate),
    "plan of another program": ("plan.parquet", foreign),
    "run.json truncated": ("run.json", truncate),
    "run.json empty": ("run.json", empty),
    "run.json of another program": ("run.json", lambda path: path.write_text('{"schema": 1}')),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_named_and_undone_and_what_is_healthy_stays(whole, run, place, damage):
    pattern, do = DAMAGES[damage]
    victim = sorted(run.glob(pattern))[0]
    do(victim)
    healthy = {
        path: path.stat().st_mtime_ns
        for kind in (*TRIAL_FILES, "extractors")
        for path in run.glob(f"{kind}/**/*")
        if path.is_file() and victim.stem not in path.name
    }
    output = sweep(run, place)
    assert f"damaged: {victim}" in output
    again = 0 if victim.parent == run else 1
    assert f"{counted(again, 'step')} done, {3 - again} were done before" in output
    assert {path: path.stat().st_mtime_ns for path in healthy} == healthy
    wanted = results_of(whole)
    assert results_of(run).keys() == wanted.keys()
    assert all(frame.equals(wanted[name]) for name, frame in results_of(run).items())
    state = apc_bench("status", run).output
    assert "3 of 3 steps done" in state
    assert "damaged" not in state


@pytest.mark.parametrize(
    "name", ["run.json", "plan.parquet", "metrics/**/*.parquet", "scores/**/*.parquet"]
)
def test_what_a_newer_version_wrote_is_named_and_never_overwritten(run, place, name):
    victim = sorted(run.glob(name))[0]
    of_version(SCHEMA_VERSION + 1)(victim)
    before = {path: path.read_bytes() for path in (victim, *run.glob("*/**/*.parquet"))}
    output = sweep(run, place, code=2)
    assert "written by a newer apc-bench" in output
    assert str(victim if victim.suffix == ".parquet" else run) in output
    assert all(path.read_bytes() == data for path, data in before.items())
