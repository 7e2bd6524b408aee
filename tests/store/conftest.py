"""The small run folder, written once and copied for each test."""

import shutil
from pathlib import Path

import pytest
from store_support import write_run

from apc_bench.store.run import Run


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run")).path


@pytest.fixture
def run(finished, tmp_path) -> Run:
    return Run.open(Path(shutil.copytree(finished, tmp_path / "run")))
