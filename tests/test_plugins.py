"""Detectors and readers of other packages: the example as an installed package, and what
is said of one that does not fit.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from plugin_support import JOB, PLUGIN, example, install
from support import apc_bench, make_category

from apc_bench import plugins
from apc_bench.runner.driver import find_fault
from apc_bench.runner.messages import SweepContext


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty site folder on the path; what is imported from it is forgotten again."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    before = set(sys.modules)
    plugins.offered.cache_clear()
    yield place
    plugins.offered.cache_clear()
    for name in set(sys.modules) - before:
        if str(place) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def swept(tmp_path) -> Callable[..., str]:
    make_category(tmp_path / "data", train=44, good=4, defects=5)
    (tmp_path / "job.yaml").write_text(JOB)

    def run(
        *options: object,
        code: int = 0,
        data: Path = tmp_path / "data",
        job: Path = tmp_path / "job.yaml",
    ) -> str:
        common = ("--cache", tmp_path / "cache", "--run", tmp_path / "run", "--executor", "serial")
        return apc_bench("sweep", "--job", job, "--data", data, *common, *options, code=code).output

    return run


def test_the_example_is_a_package_that_an_installer_installs(tmp_path):
    site = tmp_path / "installed"
    installer = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*installer, *offline, str(PLUGIN)], check=True, capture_output=True)
    code = "from apc_bench import plugins; print(*sorted(plugins.offered('apc_bench.detectors')))"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["deviation"]


def metrics(tmp_path: Path) -> pl.DataFrame:
    return pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True).filter(
        pl.col("subset") == "test"
    )


def test_the_readmes_detector_runs_like_our_own_and_a_new_version_is_computed_anew(
    site, swept, tmp_path
):
    detector, toml, reader = example()
    assert len([line for line in detector.splitlines() if line.strip()]) <= 33
    install(site, "apc-deviation", {"deviation": detector, "labels": reader}, toml)
    output = swept()
    assert "Deviation" in output
    row = metrics(tmp_path).row(0, named=True)
    assert row["image_auroc"] == 1.0, "a bright square on noise"
    assert row["pixel_auroc"] > 0.9
    assert row["threshold"] is not None
    assert "apc-deviation 0.1" in (tmp_path / "run" / "report" / "index.html").read_text(), (
        "the page says which package it was"
    )
    assert "1 were done before" in swept()
    next(site.glob("*.dist-info")).rename(site / "old")
    install(site, "apc-deviation", {}, toml, version="0.2")
    plugins.offered.cache_clear()
    assert "were done before" not in swept()
    assert len(metrics(tmp_path)["result_key"].unique()) == 2
    assert len(metrics(tmp_path)["trial_id"].unique()) == 1
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(JOB.replace("floor: 2", "flor: 2"))
    assert "unknown setting 'flor' (known: " in swept(code=2, job=wrong)
    assert "did you mean 'floor'?" in swept(code=2, job=wrong)


def test_the_readmes_reader_reads_what_no_layout_fits(site, swept, tmp_path):
    detector, toml, reader = example()
    install(site, "apc-deviation", {"deviation": detector, "labels": reader}, toml)
    folder = tmp_path / "own" / "bracket"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["image,type,train"]
    for n in range(40):
        pixels = generator.integers(0, 100, (32, 32, 3), np.uint8)
        kind = "good" if n < 36 else "dent"
        if kind == "dent":
            pixels[8:16, 8:16] = 250
        Image.fromarray(pixels).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{kind},{int(n < 30)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    swept(data=tmp_path / "own")
    row = metrics(tmp_path).row(0, named=True)
    assert (row["category"], row["training_images"], row["normal"], row["anomalous"]) == (
        "bracket",
        30,
        6,
        2,
    )
    (folder / "labels.csv").write_text("\n".join(lines).replace("29.png,good,1", "29.png,good,0"))
    assert "the content of category 'bracket' changed" in swept(data=tmp_path / "own", code=2), (
        "who trains is part of it"
    )


BAD = {
    "import": (
        "import nothing_of_this_name\n",
        "cannot be loaded (deviation:Deviation): ModuleNotFoundError: No module named",
    ),
    "settings": (
        "class Deviation:\n    settings_class = dict\n",
        "its settings_class must be a subclass of",
    ),
    "missing": ("x = 1\n", "cannot be loaded (deviation:Deviation): AttributeError"),
    "fit": (
        (
            "from apc_bench.settings.detectors import DetectorSettings\nclass"
            " S(DetectorSettings):\n    floor: int = 1\nclass Deviation:\n    settings_class = S\n "
            "   train = 1\n"
        ),
        "does not fit: it lacks train and fit",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_plugin_that_does_not_fit_is_one_line_with_its_package(kind, site, swept):
    code, said = BAD[kind]
    _, toml, _ = example()
    install(
        site,
        "apc-deviation",
        {"deviation": code},
        toml.split('[project.entry-points."apc_bench.readers')[0],
    )
    output = swept(code=2)
    assert said in output
    assert "detector 'deviation' of package apc-deviation 0.1" in output
    assert "Traceback" not in output


def test_names_of_our_own_and_of_two_packages_are_refused(site, swept, tmp_path):
    detector, toml, _ = example()
    first = toml.split('[project.entry-points."apc_bench.readers')[0]
    install(site, "apc-one", {"deviation": detector}, first)
    install(site, "apc-two", {}, first + 'patchcore = "deviation:Deviation"\n')
    assert "'deviation' is offered by apc-one 0.1 and apc-two 0.1: uninstall one of them" in swept(
        code=2
    )
    job = tmp_path / "patchcore.yaml"
    job.write_text(
        JOB.replace("detector: deviation", "detector: patchcore").replace(
            ", settings: {floor: 2}", ""
        )
    )
    assert "'patchcore' is apc-bench's own, and package apc-two 0.1 offers another" in swept(
        code=2, job=job
    )


def test_a_reader_whose_files_lie_elsewhere_is_refused(site, swept, tmp_path):
    detector, toml, reader = example()
    install(site, "apc-labels", {"deviation": detector, "labels": reader}, toml)
    folder = tmp_path / "own" / "bracket"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("image,type,train\n../../secret.png,good,1\n")
    output = swept(code=2, data=tmp_path / "own")
    assert (
        "reader 'labels' of package apc-labels 0.1: '../../secret.png' of category 'bracket' leads"
        " out of its folder" in output
    )


def test_a_reader_that_fails_is_one_line_with_its_package(site, swept, tmp_path):
    detector, toml, reader = example()
    install(site, "apc-labels", {"deviation": detector, "labels": reader}, toml)
    folder = tmp_path / "own" / "bracket"
    folder.mkdir(parents=True)
    (folder / "labels.csv").write_text("photo,type,train\n1.png,good,1\n")
    output = swept(code=2, data=tmp_path / "own")
    assert (
        f"reader 'labels' of package apc-labels 0.1 cannot read {tmp_path / 'own'}: KeyError:"
        " 'image'" in output
    )
    assert "Traceback" not in output


def test_a_node_with_another_version_of_the_package_is_named(site, swept, tmp_path, monkeypatch):
    """Else its results would stand under the key of this version."""
    contexts = []
    monkeypatch.setattr(
        "apc_bench.runner.prepare.SweepContext",
        lambda **given: contexts.append(SweepContext(**given)) or contexts[-1],
    )
    detector, toml, reader = example()
    install(site, "apc-deviation", {"deviation": detector, "labels": reader}, toml)
    swept()
    assert find_fault(contexts[0]) is None
    next(site.glob("*.dist-info")).rename(site / "old")
    plugins.offered.cache_clear()
    assert (
        find_fault(contexts[0])
        == "would compute other bits: the package of detector 'deviation' is 'absent', not"
        " 'apc-deviation 0.1'"
    )
    install(site, "apc-deviation", {}, toml, version="0.2")
    plugins.offered.cache_clear()
    assert "'deviation' is 'apc-deviation 0.2', not 'apc-deviation 0.1'" in find_fault(contexts[0])


def test_the_commands_of_a_fresh_process_find_it_too(site, tmp_path):
    detector, toml, reader = example()
    install(site, "apc-deviation", {"deviation": detector, "labels": reader}, toml)
    make_category(tmp_path / "data", train=44, good=4, defects=5)
    (tmp_path / "job.yaml").write_text(JOB)
    command = [
        sys.executable,
        "-m",
        "apc_bench",
        "sweep",
        "--job",
        tmp_path / "job.yaml",
        "--data",
        tmp_path / "data",
    ]
    command += ["--run", tmp_path / "run", "--cache", tmp_path / "cache", "--executor", "serial"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Deviation" in done.stdout
