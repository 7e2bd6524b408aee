"""The synthetic dataset: what is on disk, that it is always the same, and that each mask is exactly
what its defect changed.
"""

import hashlib
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from support import apc_bench

from apc_bench.datasets import synthetic
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.synthetic import CATEGORIES, defect_types, fields, make_dataset
from apc_bench.datasets.synthetic.sample import PictureKey, changed, generator, render
from apc_bench.errors import DataError, StorageError, UsageError

make_tiny = partial(make_dataset, size=32, train=3, good=2, per_type=3)
SAMPLES = [(category, kind) for category in CATEGORIES for kind in defect_types(category)]


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "data"
    make_tiny(root)
    return root


def test_there_are_four_categories_with_three_defect_types_each() -> None:
    assert len(CATEGORIES) >= 4
    assert all(len(defect_types(category)) >= 3 for category in CATEGORIES)


def test_the_layout_is_mvtecs_with_the_counts_asked_for(dataset: Path) -> None:
    expected = set()
    for category in CATEGORIES:
        expected |= {f"{category}/train/good/{i:03d}.png" for i in range(3)} | {
            f"{category}/test/good/{i:03d}.png" for i in range(2)
        }
        for kind in defect_types(category):
            expected |= {f"{category}/test/{kind}/{i:03d}.png" for i in range(3)}
            expected |= {f"{category}/ground_truth/{kind}/{i:03d}_mask.png" for i in range(3)}
    assert set(digests(dataset)) == expected


def test_every_picture_is_rgb_and_every_mask_fits_it_and_marks_something(dataset: Path) -> None:
    for path in dataset.rglob("*.png"):
        with Image.open(path) as picture:
            masked = path.name.endswith("_mask.png")
            assert (picture.size, picture.mode) == ((32, 32), "L" if masked else "RGB")
            values = set(np.unique(np.asarray(picture)).tolist())
            assert not masked or values == {0, 255}


def test_no_two_pictures_are_the_same(dataset: Path) -> None:
    pictures = [digest for name, digest in digests(dataset).items() if "ground_truth" not in name]
    assert len(set(pictures)) == len(pictures)


def test_another_process_and_another_order_give_the_same_bytes(
    dataset: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from apc_bench.datasets.synthetic import"
        " make_dataset; make_dataset(Path(sys.argv[1]), categories=sys.argv[:1:-1], size=32,"
        " train=3, good=2, per_type=3)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again"), *CATEGORIES], check=True)
    assert digests(tmp_path / "again") == digests(dataset)


def test_a_subset_and_other_counts_leave_each_sample_as_it_is(
    dataset: Path, tmp_path: Path
) -> None:
    make_dataset(
        tmp_path / "part", categories=CATEGORIES[1:2], size=32, train=1, good=1, per_type=2
    )
    part, whole = digests(tmp_path / "part"), digests(dataset)
    assert part and part.items() <= whole.items()


def test_another_seed_gives_other_pictures(dataset: Path, tmp_path: Path) -> None:
    make_tiny(tmp_path / "other", categories=CATEGORIES[:1], seed=1)
    pictures = {
        name: digest
        for name, digest in digests(tmp_path / "other").items()
        if "ground_truth" not in name
    }
    assert all(digest != digests(dataset)[name] for name, digest in pictures.items())


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.integers(0, 99),
    st.integers(0, 2**31),
    st.sampled_from([32, 64, 100, 128]),
)
def test_a_picture_differs_from_its_defect_free_twin_inside_the_mask_only(
    which: tuple[str, str], index: int, seed: int, size: int
) -> None:
    sample = render(PictureKey(seed, which[0], "test", which[1], index), size)
    differs = (sample.image != sample.clean).any(axis=2)
    assert sample.image.shape == (size, size, 3) and sample.mask.shape == (size, size)
    assert sample.mask.any() and not sample.mask.all()
    assert not (differs & ~sample.mask).any()
    assert differs[sample.mask].mean() > 0.5


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 99), st.integers(0, 2**31))
def test_no_mask_is_emptied_by_a_nearest_neighbour_resize(
    which: tuple[str, str], index: int, seed: int
) -> None:
    mask = Image.fromarray(render(PictureKey(seed, which[0], "test", which[1], index), 128).mask)
    for side in (64, 96):
        assert np.asarray(mask.resize((side, side), Image.Resampling.NEAREST)).any()


@pytest.mark.parametrize(("category", "kind"), SAMPLES)
def test_each_type_has_obvious_moderate_and_barely_visible_defects(
    category: str, kind: str
) -> None:
    def difference(index: int) -> float:
        sample = render(PictureKey(0, category, "test", kind, index), 64)
        return float(np.abs(sample.image.astype(float) - sample.clean).sum())

    obvious, moderate, barely = (
        np.mean([difference(grade + 3 * i) for i in range(5)]) for grade in range(3)
    )
    assert obvious > moderate > barely > 0


def test_a_good_sample_has_no_defect() -> None:
    sample = render(PictureKey(0, "granite", "test", "good", 0), 32)
    assert not sample.mask.any() and (sample.image == sample.clean).all()


def test_a_mask_closes_gaps_of_a_pixel_and_fills_what_it_encloses() -> None:
    clean, ring = np.full((20, 20, 3), 100.0), np.zeros((20, 20), dtype=bool)
    ring[4:13, 4:13] = True
    disc = ring.copy()
    ring[6:11, 6:11] = False
    ring[4:6, 8] = False
    assert (changed(clean, clean + 20.0 * ring[:, :, None]) == disc).all()
    assert not changed(clean, clean + 2.0).any()


def test_a_generator_depends_on_its_whole_key() -> None:
    keys = [
        (0, "washer", "nick", 1),
        (1, "washer", "nick", 1),
        (0, "washer", "nick", 2),
        (0, "washer", "rust", 1),
    ]
    assert len({generator(*key).integers(2**63) for key in keys}) == len(keys)
    assert generator(*keys[0]).integers(2**63) == generator(*keys[0]).integers(2**63)


@pytest.mark.parametrize(("size", "cells"), [(32, 5), (48, 48), (32, 64)])
def test_smooth_noise_is_scipys_cubic_spline_over_the_same_lattice(size: int, cells: int) -> None:
    lattice = np.random.default_rng(3).standard_normal((cells + 3, cells + 3))
    at = (np.arange(size) + 0.5) / size * cells + 1
    expected = ndimage.map_coordinates(
        lattice, np.meshgrid(at, at, indexing="ij"), order=3, prefilter=False, mode="mirror"
    )
    noise = fields.smooth_noise(np.random.default_rng(3), size, cells)
    inside = (at >= 1) & (at <= cells + 1)
    np.testing.assert_allclose(
        noise[np.ix_(inside, inside)] * 0.479, expected[np.ix_(inside, inside)], atol=1e-12
    )


def test_smooth_noise_has_mean_zero_and_standard_deviation_one() -> None:
    draws = np.stack(
        [fields.smooth_noise(np.random.default_rng(seed), 64, 16) for seed in range(60)]
    )
    assert abs(draws.mean()) < 0.05
    assert draws.std() == pytest.approx(1, abs=0.05)


def test_line_distance_is_the_distance_to_the_nearest_point_of_the_path() -> None:
    x, y = fields.grid(16)
    path = np.array([[0.1, 0.2], [0.7, 0.3], [0.6, 0.9], [0.6, 0.9]])
    points = np.concatenate(
        [a + np.linspace(0, 1, 4001)[:, None] * (b - a) for a, b in pairwise(path)]
    )
    expected = np.hypot(x[:, :, None] - points[:, 0], y[:, :, None] - points[:, 1]).min(axis=2)
    np.testing.assert_allclose(fields.line_distance(x, y, path), expected, atol=1e-3)


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(DataError, match="exists already"):
        make_tiny(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_category_is_named_with_the_nearest_one_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"'wascher'.*did you mean 'washer'"):
        make_tiny(tmp_path / "new" / "data", categories=["granite", "wascher"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"size": 31}, {"train": 0}, {"good": 0}, {"per_type": -1}])
def test_impossible_numbers_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=f"{next(iter(wrong))} must be .* got {next(iter(wrong.values()))}"
    ):
        make_tiny(tmp_path / "data", **wrong)


def test_no_categories_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no category"):
        make_tiny(tmp_path / "data", categories=[])


@pytest.mark.parametrize(
    ("failure", "raised"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left"), StorageError)],
)
def test_a_crash_leaves_no_half_dataset(
    failure: BaseException, raised: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write(path: Path, pixels: object) -> None:
        if len(written) == 5:
            raise failure
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        written.append(path)

    monkeypatch.setattr(synthetic, "_write_png", write)
    with pytest.raises(raised):
        make_tiny(tmp_path / "data")
    assert len(written) == 5 and not list(tmp_path.iterdir())


def test_a_folder_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, pixels: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / "other.txt").write_text("kept")

    monkeypatch.setattr(synthetic, "_write_png", write)
    with pytest.raises(StorageError, match="cannot write the synthetic dataset"):
        make_tiny(tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["other.txt"]


def test_data_synth_makes_the_dataset_that_a_sweep_reads(tmp_path):
    command = (
        "data",
        "synth",
        tmp_path / "made",
        "--categories",
        "weave",
        "--size",
        "32",
        "--train",
        "3",
        "--good",
        "2",
        "--per-type",
        "1",
    )
    assert (
        f"next: apc-bench sweep --data {tmp_path / 'made'}"
        in apc_bench("data", "synth", *command[2:]).output
    )
    assert len(read_dataset(tmp_path / "made").categories[0].samples) == 8
    assert "exists already" in apc_bench(*command, code=2).output
    assert (
        "known"
        in apc_bench("data", "synth", tmp_path / "other", "--categories", "weav", code=2).output
    )
