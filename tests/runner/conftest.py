"""One finished sweep of the job `tiny`, for all tests of what a sweep leaves."""

from pathlib import Path

import pytest
from support import apc_bench


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="session")
def tiny(place) -> Path:
    """Its run folder."""
    places = ("--run", place / "tiny", "--cache", place / "cache")
    apc_bench("sweep", "--job", "tiny", "--executor", "serial", *places, "--features", "bank")
    return place / "tiny"
