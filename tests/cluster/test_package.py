"""The package as users get it: an sdist, the wheel built from that, installed outside the checkout
beside the libraries of this environment.
"""

import json
import os
import site
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from apc_bench import __version__
from apc_bench.store.provenance import git_revision

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def build(kind: str, source: Path, into: Path) -> Path:
    """The sdist or wheel of a source folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", into]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = into.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Command:
    """Runs the installed `apc-bench` in a folder of its own, and without this checkout's path."""
    place = tmp_path_factory.mktemp("package")
    with tarfile.open(build("sdist", ROOT, place / "sdist")) as archive:
        archive.extractall(place / "source", filter="data")
    (source,) = (place / "source").iterdir()
    wheel = build("wheel", source, place / "wheel")
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    installer = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    offline = ["install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run([*installer, *offline], check=True, timeout=120)
    (packages,) = (place / "env" / "lib").glob("*/site-packages")
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    surroundings["APC_BENCH_CACHE"] = str(place / "cache")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [place / "env" / "bin" / "apc-bench", *arguments]
        done = subprocess.run(
            command, cwd=place, env=surroundings, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_an_installation_names_its_revision_sweeps_and_knows_its_jobs_and_datasets(installed):
    revision = git_revision()
    assert revision is not None
    told = installed("--version").stdout
    assert told.startswith(f"apc-bench {__version__}, revision {revision['commit'][:12]}")
    one = ("--job", "tiny", "--methods", "patchcore", "--categories", "washer", "--seeds", "0")
    swept = installed("sweep", *one, "--executor", "serial", "--run", "run").stdout
    page = Path(swept.rpartition("page: ")[2].strip())
    assert "PatchCore" in page.read_text()
    recorded = json.loads((page.parents[1] / "run.json").read_text())
    assert recorded["environment"]["git"]["commit"] == revision["commit"]
    assert "wide_resnet50_2" in installed("methods", "--job", "paper").stdout
    assert "mvtec_ad" in installed("data", "list").stdout
