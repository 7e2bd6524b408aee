"""A plain folder of good and bad photos: what it becomes, what a sweep and a report make of it, and
what is said where it does not fit.
"""

from pathlib import Path

import polars as pl
import pytest
from support import apc_bench, make_category

from apc_bench.datasets.layouts import read_dataset
from apc_bench.errors import DataError

JOB = """
image_size: 32
reserve: 2
shots: [2]
seeds: [0, 1]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  plus: {detector: apc+, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32, classifier_steps: 5}}
"""


def plain(root: Path, *, masks: bool = True, types: bool = False) -> Path:
    """`root`/bracket with 12 good and 6 bad photos of odd names."""
    source = (
        make_category(
            root.parent / f"source of {root.name}", train=12, good=1, defects=6, masks=masks
        )
        / "part"
    )
    folder = root / "bracket"
    (folder / "good").mkdir(parents=True)
    bad = folder / "bad" / "dent" if types else folder / "bad"
    bad.mkdir(parents=True)
    for number, path in enumerate(sorted((source / "train" / "good").iterdir())):
        path.rename(folder / "good" / f"IMG {number} ü.PNG")
    for path in sorted((source / "test" / "dent").iterdir()):
        path.rename(bad / path.name)
    if masks:
        place = folder / "masks" / "dent" if types else folder / "masks"
        place.mkdir(parents=True)
        for path in (source / "ground_truth" / "dent").iterdir():
            path.rename(place / path.name)
    return folder


@pytest.mark.parametrize("types", [False, True])
def test_good_photos_are_split_bad_ones_tested_and_masks_paired(tmp_path, types):
    dataset = read_dataset(plain(tmp_path, types=types))
    (category,) = dataset.categories
    assert (dataset.name, category.name, dataset.root) == ("bracket", "bracket", tmp_path)
    normal = [sample for sample in category.samples if not sample.anomalous]
    assert (sum(sample.training for sample in normal), len(normal)) == (8, 12)
    bad = [sample for sample in category.samples if sample.anomalous]
    assert len(bad) == 6 and not any(sample.training for sample in bad)
    assert {sample.defect_type for sample in bad} == {"dent" if types else "bad"}
    assert all(sample.mask and (category.folder / sample.mask).is_file() for sample in bad)


def test_groups_stay_whole(tmp_path):
    folder = plain(tmp_path)
    names = sorted(path.name for path in (folder / "good").iterdir())
    (folder / "groups.csv").write_text(
        "image,group\n" + "".join(f"good/{name},{index // 3}\n" for index, name in enumerate(names))
    )
    samples = [
        sample for sample in read_dataset(folder).categories[0].samples if not sample.anomalous
    ]
    trained = {sample.group for sample in samples if sample.training}
    assert trained and len({sample.group for sample in samples}) == 4
    assert not trained & {sample.group for sample in samples if not sample.training}


@pytest.mark.parametrize("masks", [True, False])
def test_a_sweep_on_it_is_reported_with_its_photos(tmp_path, masks):
    folder = plain(tmp_path, masks=masks)
    (tmp_path / "job.yaml").write_text(JOB)
    options = (
        "--job",
        tmp_path / "job.yaml",
        "--data",
        folder,
        "--executor",
        "serial",
        "--run",
        tmp_path / "run",
        "--cache",
        tmp_path / "cache",
    )
    apc_bench("sweep", "--no-page", *options)
    metrics = pl.read_parquet(
        f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True
    ).filter(pl.col("subset") == "test")
    assert len(metrics) == 4 and metrics["image_auroc"].null_count() == 0
    assert (metrics["pixel_auroc"].null_count() == 0) is masks
    for data in ((), ("--data", folder)):
        apc_bench("report", tmp_path / "run", *data)
        page = (tmp_path / "run" / "report" / "index.html").read_text()
        assert "image cannot be read" not in page and "image not at hand" not in page


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (
            lambda folder: [path.unlink() for path in (folder / "good").iterdir()],
            "good holds 0 image",
        ),
        (
            lambda folder: (
                [path.unlink() for path in (folder / "bad").iterdir()]
                + [path.unlink() for path in (folder / "masks").iterdir()]
            ),
            "bad holds no image",
        ),
        (
            lambda folder: (folder / "masks" / "none_mask.png").write_bytes(b""),
            "masks that belong to no image",
        ),
        (
            lambda folder: (
                (folder / "bad" / "good").mkdir(),
                (folder / "bad" / "000.png").rename(folder / "bad" / "good" / "000.png"),
            ),
            "cannot be of the type 'good'",
        ),
        (
            lambda folder: (
                (folder / "bad" / "a b").mkdir(),
                (folder / "bad" / "000.png").rename(folder / "bad" / "a b" / "000.png"),
            ),
            "'a b'",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, break_it, said):
    folder = plain(tmp_path)
    break_it(folder)
    with pytest.raises(DataError, match=said):
        read_dataset(folder)


def test_several_plain_folders_are_categories_of_one_dataset(tmp_path):
    plain(tmp_path / "parts").rename(tmp_path / "parts" / "nut")
    plain(tmp_path / "parts")
    dataset = read_dataset(tmp_path / "parts", categories=["nut", "bracket"])
    assert [category.name for category in dataset.categories] == ["bracket", "nut"]


def test_a_run_on_a_plain_folder_is_repeated_like_any_other(tmp_path):
    (tmp_path / "job.yaml").write_text(JOB)
    options = ("--executor", "serial", "--cache", tmp_path / "cache", "--methods", "patchcore")
    apc_bench(
        "sweep",
        "--no-page",
        "--job",
        tmp_path / "job.yaml",
        "--data",
        plain(tmp_path),
        *options,
        "--run",
        tmp_path / "one",
    )
    apc_bench(
        "sweep", "--no-page", "--like", tmp_path / "one", *options[:4], "--run", tmp_path / "two"
    )
    one, two = (pl.read_parquet(f"{tmp_path}/{run}/scores/**/*.parquet") for run in ("one", "two"))
    assert sorted(one["score"]) == sorted(two["score"])


def test_a_folder_whose_name_cannot_be_a_category_says_rename(tmp_path):
    folder = plain(tmp_path).rename(tmp_path / "my parts")
    with pytest.raises(DataError, match="rename the folder"):
        read_dataset(folder)
