"""A category is decoded once, all its bad files are named, and a lost cache changes nothing."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support import make_category

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category
from apc_bench.errors import StorageError
from apc_bench.store import decoded as module
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import UnreadableFiles, decoded, memo_array

SQUARE = Geometry(24, "square")


@pytest.fixture
def category(tmp_path) -> Category:
    return read_dataset(make_category(tmp_path / "data")).categories[0]


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_category_is_decoded_once_per_content_and_geometry(cache, category, monkeypatch):
    calls = []
    original = module.decode_into
    monkeypatch.setattr(
        module,
        "decode_into",
        lambda *given, **options: (calls.append(given[1]), original(*given, **options))[1],
    )
    first = decoded(cache, category, "f", SQUARE)
    again = decoded(cache, category, "f", SQUARE)
    assert calls == [SQUARE]
    assert np.array_equal(first.images, again.images)
    for fingerprint, geometry in (
        ("g", SQUARE),
        ("f", Geometry(16, "square")),
        ("f", Geometry(24, "crop")),
    ):
        decoded(cache, category, fingerprint, geometry)
    assert len(calls) == 4
    shutil.rmtree(cache.folder)
    rebuilt = decoded(cache, category, "f", SQUARE)
    assert np.array_equal(rebuilt.images, first.images)
    assert np.array_equal(rebuilt.masks, first.masks)


def test_rows_are_in_the_order_of_the_samples_and_are_mapped_not_loaded(cache, category):
    found = decoded(cache, category, "f", SQUARE)
    assert isinstance(found.images, np.memmap)
    assert not found.images.flags.writeable
    assert found.images.shape == (len(category.samples), 3, 24, 24)
    assert found.placement.shape == (len(category.samples), 6)
    for row, sample in enumerate(category.samples):
        assert np.array_equal(
            found.images[row].transpose(1, 2, 0),
            SQUARE.apply(read_image(category.folder / sample.image)),
        )
        assert found.mask_state[row] == ("present" if sample.anomalous else "normal")
        assert found.masks[row].any() == sample.anomalous


def test_every_unreadable_file_is_named_however_many(cache, tmp_path):
    category = read_dataset(make_category(tmp_path / "many", train=30)).categories[0]
    bad = [sample.image for sample in category.samples if sample.training]
    for image in bad:
        (category.folder / image).write_bytes(b"no picture")
    with pytest.raises(UnreadableFiles) as error:
        decoded(cache, category, "f", SQUARE)
    assert set(error.value.reasons) == set(bad)
    assert all(str(category.folder / image) in str(error.value) for image in bad)
    assert "30 images cannot be used" in str(error.value)
    assert "--skip-unreadable" in str(error.value)
    assert "\n" not in str(error.value)
    assert not [path for path in (cache.folder / "decoded").iterdir() if path.is_dir()]


FULL = """
import resource, signal, sys
from pathlib import Path
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import StorageError
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    decoded(Cache(Path(sys.argv[2])), read_dataset(Path(sys.argv[1])).categories[0], "f", Geometry(64, "square"))
except StorageError as error:
    print(error)
"""


def test_no_room_for_the_arrays_is_one_line_and_leaves_nothing(category, cache):
    command = [sys.executable, "-c", FULL, str(category.folder.parent), str(cache.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("cannot write the cache")
    assert "--cache DIR" in done.stdout
    assert not [path for path in (cache.folder / "decoded").iterdir() if path.is_dir()]


def test_a_full_disk_ends_no_process(category, small_disk):
    """Writing to a mapped page that the disk has no room for would be a SIGBUS."""
    with pytest.raises(StorageError, match="No space left on device"):
        decoded(Cache(small_disk / "cache"), category, "f", Geometry(512, "square"))


def test_the_disk_gives_its_room_before_an_array_is_written_to(tmp_path):
    """A sparse file on a full disk would end the process with SIGBUS at some later write."""
    array = module._new_array(tmp_path / "a.npy", np.float32, (1000, 100))
    stat = (tmp_path / "a.npy").stat()
    assert stat.st_blocks * 512 >= stat.st_size >= 400_000
    assert not array.any()


def test_an_array_is_filled_once_and_not_at_all_where_it_would_fill_the_disk(cache):
    calls = []

    def fill(out: np.ndarray) -> None:
        calls.append(out.shape)
        out[:] = np.arange(6).reshape(2, 3)

    for _ in range(2):
        array = memo_array(cache, "key", (2, 3), fill)
        assert array is not None
        assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert calls == [(2, 3)]
    assert memo_array(cache, "huge", (10**9, 10**6), fill) is None
    assert memo_array(cache, "other", (2, 3), fill, share=0.0) is None
    assert memo_array(cache, "key", (2, 3), fill, share=0.0) is not None  # it is there already


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "file.png")
    with pytest.raises(StorageError, match="--cache DIR"):
        memo_array(Cache(tmp_path / "file.png"), "key", (1,), lambda out: None)


def test_the_tiles_at_any_size_keep_their_masks(cache, magnetic_tiles):
    """A square resize may empty a thin crack; a crop cuts defects at the border off. Both are
    counted, never lost.
    """
    (category,) = read_dataset(magnetic_tiles).categories
    few = [sample for sample in category.samples if sample.anomalous][::8]
    part = Category(category.name, category.folder, tuple(few))
    square, crop = (
        decoded(cache, part, "f", Geometry(64, resize)).mask_state.tolist()
        for resize in ("square", "crop")
    )
    assert set(square) | set(crop) <= {"present", "emptied"}
    assert square.count("emptied") < crop.count("emptied") < len(few)
