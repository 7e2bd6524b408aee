"""A run in Python: the report's own tables and figures, frames that are the files', maps by image,
and one line for what is not there.
"""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support import apc_bench as command

import apc_bench
from apc_bench.errors import ApcError, RunError, UsageError

HEAVY = ("torch", "polars", "matplotlib", "numpy", "pyarrow", "ray", "scipy")


@pytest.fixture(scope="module")
def run(small_run: Path) -> apc_bench.OpenedRun:
    return apc_bench.open_run(small_run)


def test_the_import_is_light_and_tells_its_names():
    script = (
        "import sys, apc_bench\n"
        "assert {'open_run', 'sweep', 'job'} <= set(dir(apc_bench))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        _ = apc_bench.swep


def test_a_table_holds_the_values_of_the_reports_file_and_shows_them(run, tmp_path):
    command("report", run.path, "--out", tmp_path / "report")
    for name in run.tables:
        file = pl.read_parquet(tmp_path / "report" / "tables" / f"{name}.parquet")
        assert run.table(name).frame.equals(file), name
    poster = run.table("poster")
    page = poster._repr_html_()
    assert poster.definitions["Values"] in page
    assert poster.provenance["computing.torch"] in page
    assert "| System |" in poster.markdown
    assert r"\begin{table" in poster.latex


def test_names_in_a_run_cannot_become_markup(run):
    facts = apc_bench.Facts([("a", "<script>"), ("a", "b")])
    assert facts["a"] == "<script>; b"
    assert "<script>" not in facts._repr_html_()


def test_every_figure_is_drawn_as_a_picture_with_what_is_to_be_known_of_it(run):
    for name in run.figures:
        category = "weave" if name in ("curves", "gallery") else None
        if name in ("ranks", "far_apart"):  # two systems have none; no photo sets a threshold alone
            continue
        figure = run.figure(name, category)
        assert isinstance(figure, Figure)
        with Image.open(io.BytesIO(figure._repr_png_())) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 150 and pixels.std() > 5, name
        assert figure.definitions
        assert figure.provenance == run.provenance
    assert {"answer", "shots", "few", "gains", "curves", "gallery"} <= set(run.figures)


def test_a_figure_of_a_category_is_another_than_the_means(run):
    mean, weave = (run.figure("shots", category) for category in (None, "weave"))
    assert "mean over categories" in mean.get_suptitle()
    assert "weave" in weave.get_suptitle()


def test_a_figure_is_saved_in_its_style(run, tmp_path):
    run.figure("shots").savefig(tmp_path / "shots.pdf")
    assert b"/Type3" not in (tmp_path / "shots.pdf").read_bytes()


def test_frames_are_what_the_files_hold(run):
    files = pl.read_parquet(f"{run.path}/scores/**/*.parquet")
    columns = ["category", "method", "shots", "seed", "image", "score"]
    ours = run.scores.select(columns).sort(columns)
    assert ours.equals(files.select(columns).cast(ours.schema).sort(columns))
    assert set(run.metrics["subset"]) >= {"test", "full"}
    undescribed = {"detector", "backbone"}
    assert not {"image_auroc", "split", "score"} - set(run.definitions) - undescribed


def test_maps_are_those_of_the_run_by_image(run):
    maps = run.maps("weave", method="apc", seed=1)
    key = run.metrics.filter(category="weave", method="apc", seed=1)["result_key"][0]
    (file,) = run.path.glob(f"maps/**/{key}.parquet")
    table = pl.read_parquet(file)
    assert list(maps) == table["image"].to_list()
    wanted = np.stack(table["map"].to_list()).astype(np.float32).reshape(maps.values.shape)
    ratio = maps.values / wanted
    assert np.allclose(ratio, ratio.flat[0])  # but for the file's scale
    last = maps.images[-1]
    few = maps.only([last, maps.images[0]])
    assert list(few) == [last, maps.images[0]]
    assert np.array_equal(few[last], maps[last])
    with Image.open(io.BytesIO(few._repr_png_())) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda run: run.table("postr"), "did you mean 'poster'?"),
        (lambda run: run.figure("shot"), "did you mean 'shots'?"),
        (lambda run: run.figure("curves"), "name one of washer, weave"),
        (lambda run: run.figure("gains", "weave"), "is of the whole run"),
        (lambda run: run.figure("shots", "weav"), "did you mean 'weave'?"),
        (lambda run: run.figure("ranks"), "nothing to draw"),
        (lambda run: run.maps(), "of which category? name one of washer, weave"),
        (lambda run: run.maps("weave"), "of which method? --method takes one of patchcore, apc"),
        (lambda run: run.maps("weave", method="apc", seed=7), "no seed 7 (has: 0, 1, 2)"),
        (lambda run: run.maps("weave", method="apc")["test/x.png"], "no map of 'test/x.png'"),
        (lambda run: run.maps("weave", method="apc").only([]).figure(), "no image was chosen"),
        (lambda run: apc_bench.open_run(run.path.parent), "is no run folder"),
        (lambda run: apc_bench.open_run(run.path, data="/nowhere"), "no such folder"),
        (lambda run: apc_bench.job("tinny"), "did you mean 'tiny'?"),
        (lambda run: apc_bench.sweep({"shots": [1]}, quiet=True), "at least one method is needed"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(run, ask, words):
    with pytest.raises(ApcError) as raised:
        ask(run)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_without_maps_says_so(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("maps", "report"))
    bare = apc_bench.open_run(tmp_path / "run")
    with pytest.raises(RunError, match="keeps no maps"):
        bare.maps("weave", method="apc")
    assert bare.table("poster").frame.equals(run.table("poster").frame)


def test_a_damaged_file_is_named_and_the_rest_is_there(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    key = run.metrics.filter(category="weave", method="apc", seed=1)["result_key"][0]
    (file,) = (tmp_path / "run").glob(f"scores/**/{key}.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    damaged = apc_bench.open_run(tmp_path / "run")
    assert len(damaged.scores) < len(run.scores)
    assert any(str(file) in line for line in damaged.damaged)


def test_a_sweep_does_what_the_command_does(tmp_path, capfd):
    settings = apc_bench.job("tiny") | {
        "categories": ["weave"],
        "shots": [1],
        "seeds": [0],
    }
    where = {"cache": tmp_path / "cache", "execution": apc_bench.Execution("serial")}
    ours = apc_bench.sweep(settings, run=tmp_path / "ours", **where)
    told = capfd.readouterr()
    assert "[3/3]" in told.err and not told.out
    assert (tmp_path / "ours" / "report" / "index.html").is_file()
    options = ("--categories", "weave", "--shots", "1", "--seeds", "0", "--executor", "serial")
    places = ("--run", tmp_path / "theirs", "--cache", tmp_path / "cache")
    command("sweep", "--no-page", "--job", "tiny", *options, *places)
    theirs = apc_bench.open_run(tmp_path / "theirs")
    assert ours.scores.drop("seconds").equals(theirs.scores.drop("seconds"))
    assert set(ours.metrics["result_key"]) == set(theirs.metrics["result_key"])
    page = (tmp_path / "ours" / "report" / "index.html").stat().st_mtime_ns
    again = apc_bench.sweep(settings, run=tmp_path / "ours", quiet=True, **where)
    assert not capfd.readouterr().err
    assert again.scores.equals(ours.scores)
    assert (tmp_path / "ours" / "report" / "index.html").stat().st_mtime_ns == page
    (tmp_path / "ours" / "report" / "index.html").unlink()
    apc_bench.sweep(settings, run=tmp_path / "ours", page=False, quiet=True, **where)
    assert not (tmp_path / "ours" / "report" / "index.html").exists()


def test_an_executor_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match=r"unknown executor 'sereal' .*did you mean 'serial'"):
        apc_bench.sweep("tiny", execution=apc_bench.Execution("sereal"), quiet=True)
