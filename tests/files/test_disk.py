"""What the kernel is asked for: memory back that only mirrors a file."""

from pathlib import Path

import numpy as np
import pytest

from apc_bench.files.disk import release


def resident() -> int:
    """Bytes of this process's memory that are pages of files."""
    status = Path("/proc/self/status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile")
    )


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells what is resident"
)
def test_what_is_read_from_the_disk_is_let_go_and_stays_what_it_was(tmp_path):
    np.save(tmp_path / "large.npy", np.arange(12_000_000, dtype=np.float32))
    array = np.load(tmp_path / "large.npy", mmap_mode="r")
    before = float(array.sum())
    full = resident()
    release(array)
    assert full - resident() < 10e6, "a small array stays"
    release(array, above=1_000_000)
    assert full - resident() > 40e6
    assert float(array.sum()) == before
    release(np.zeros(9), above=0)
