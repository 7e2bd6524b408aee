"""For all tests: no deadlines, since machines are shared, and the real images where they are at hand."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def magnetic_tiles() -> Path:
    """The Magnetic Tile Defects in MVTec layout, with their groups."""
    root = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtd"
    if not root.is_dir():
        pytest.skip(f"the magnetic tiles are not on this machine ({root})")
    return root
