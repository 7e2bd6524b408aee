"""For all tests: no deadlines, since machines are shared, a disk that is soon full, and the real
images where they are at hand.
"""

import functools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from support import apc_bench

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def magnetic_tiles() -> Path:
    """The Magnetic Tile Defects in MVTec layout, with their groups."""
    root = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtd"
    if not root.is_dir():
        pytest.skip(f"the magnetic tiles are not on this machine ({root})")
    return root


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two categories, PatchCore and APC with two shots, three seeds, really swept; tests
    copy it before they change anything (recorded.py).
    """
    place = tmp_path_factory.mktemp("small-run")
    options = ("--job", "tiny", "--executor", "serial", "--shots", "2", "--seeds", "0,1,2")
    apc_bench("sweep", "--no-page", *options, "--run", place / "run", "--cache", place / "cache")
    return place / "run"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, where mounting one is allowed."""
    place = tmp_path / "small-disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Any]:
    """Makes a FabricatedRun: results of known numbers behind the reader's interface."""
    from fabricated_run import fabricate

    return functools.partial(fabricate, tmp_path / "run")


@pytest.fixture
def with_images(tmp_path: Path) -> Callable[[Any], Path]:
    """Draws the images of a FabricatedRun; returns their folder."""
    from fabricated_run import draw_images

    return lambda run: draw_images(run, tmp_path / "images")
