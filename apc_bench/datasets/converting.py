"""From the layouts in which datasets are published to the one that mvtec.py reads. Files are
moved as they are; no pixel is touched.
"""

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from apc_bench.datasets.order import random_order
from apc_bench.datasets.samples import GOOD
from apc_bench.errors import DataError, listed
from apc_bench.files.csv_tables import read_csv_table
from apc_bench.settings.sweep import NAME

MTD_TRAIN_SHARE = 0.8
"""Of MTD's normal groups, those that train: it has no official split [ours]."""

VISA_TYPE = "anomaly"
LABELS = ("normal", VISA_TYPE)


def mvtec_layout(source: Path, target: Path) -> None:
    """MVTec AD and MPDD: `[TOP/]CATEGORY/{train,test,ground_truth}`, taken over as they are."""
    _take(source, target, {part: part for part in ("train", "test", "ground_truth")})


def loco(source: Path, target: Path) -> None:
    """MVTec LOCO: as MVTec AD, with several masks an image in a folder each, which pairing.py
    knows; the validation images are taken over, and no trial uses them.
    """
    parts = ("train", "test", "ground_truth", "validation")
    _take(source, target, {part: part for part in parts})


def btad(source: Path, target: Path) -> None:
    """BTAD: `CATEGORY/{train/ok, test/{ok,ko}, ground_truth/ko}`; `ok` becomes `good`."""
    normal = {f"{part}/ok": f"{part}/{GOOD}" for part in ("train", "test")}
    defective = {part: part for part in ("test/ko", "ground_truth/ko")}
    _take(source, target, {**normal, **defective})


def _take(source: Path, target: Path, places: Mapping[str, str]) -> None:
    """Moves each category's folders to their new places; a folder that is not there is passed
    over.
    """
    for folder in _categories(source):
        for old, new in places.items():
            if (folder / old).is_dir():
                _move(folder / old, target / folder.name / new)


def visa(source: Path, target: Path, split: str) -> None:
    """VisA, by `split_csv/SPLIT.csv` (object, split, label, image, mask). Training anomalies of a
    two-class split go to `train/anomaly`: the pool of draws.

    Masks hold ids, which images.read_mask understands. Raises DataError for a table that does not
    fit the files.
    """
    table = next(iter(sorted(source.rglob(f"split_csv/{split}.csv"))), None)
    if table is None:
        raise DataError(f"no split_csv/{split}.csv in the archive: is it VisA?")
    root = table.parent.parent
    for where, row in read_csv_table(table).rows:
        _check_row(row, f"{table}, {where}")
        kind = GOOD if row["label"] == "normal" else VISA_TYPE
        image = _inside(root, row["image"])
        place = target / row["object"]
        _move(image, place / row["split"] / kind / image.name)
        if row["mask"]:
            mask = _inside(root, row["mask"])
            _move(mask, place / "ground_truth" / kind / f"{image.stem}_mask.png")


def _check_row(row: Mapping[str, str], where: str) -> None:
    missing = {"object", "split", "label", "image", "mask"} - row.keys()
    if missing or row["split"] not in ("train", "test") or row["label"] not in LABELS:
        raise DataError(f"{where}: not VisA's table ({listed(row.values())})")
    if not re.fullmatch(NAME, row["object"]):
        raise DataError(f"{where}: {row['object']!r} cannot be an object's name")


def mtd(source: Path, target: Path) -> None:
    """MTD: `MT_TYPE/Imgs/NAME.{jpg,png}`, photo and mask. One category; MTD_TRAIN_SHARE of the
    normal photos train, chosen by a hash of their names.
    """
    folders = sorted(folder for folder in source.rglob("MT_*") if (folder / "Imgs").is_dir())
    if not folders:
        raise DataError("no folder MT_*/Imgs in the archive: is it the magnetic tile dataset?")
    place = target / "magnetic_tile"
    for folder in folders:
        kind = folder.name.removeprefix("MT_").lower()
        photos = {path.name: path for path in sorted((folder / "Imgs").glob("*.jpg"))}
        if kind == "free":
            order = random_order(photos, "mtd")
            training = set(order[: round(MTD_TRAIN_SHARE * len(order))])
            for name, photo in photos.items():
                part = "train" if name in training else "test"
                _move(photo, place / part / GOOD / name)
            continue
        for name, photo in photos.items():
            mask = _inside(folder, f"Imgs/{photo.stem}.png")
            _move(photo, place / "test" / kind / name)
            _move(mask, place / "ground_truth" / kind / f"{photo.stem}_mask.png")


def _categories(source: Path) -> list[Path]:
    """Folders with a train and a test in them, at any depth."""
    folders = [path.parent for path in source.rglob("train") if path.is_dir()]
    folders = sorted(folder for folder in folders if (folder / "test").is_dir())
    if not folders:
        raise DataError("no folder in the archive has train, test: is it the right archive?")
    times = Counter(folder.name for folder in folders)
    twice = sorted(name for name, number in times.items() if number > 1)
    if twice:
        raise DataError(f"the archive holds category {listed(twice)} more than once")
    return folders


def _inside(root: Path, relative: str) -> Path:
    """A file that a table of the archive names. Raises DataError where it is missing or outside."""
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise DataError(f"a table of the archive names {relative!r}, which is not in it")
    return path


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise DataError(
            f"two files of the archive would become {target.name}: {path} is the second"
        )
    shutil.move(path, target)
