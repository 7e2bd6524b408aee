"""From the layouts in which datasets are published to the one that layouts.py reads. Files are
moved as they are; no pixel is touched.
"""

import csv
import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from apc_bench.datasets.samples import GOOD
from apc_bench.errors import DataError, listed
from apc_bench.settings.sweep import NAME

MTD_TRAIN_SHARE = 0.8
"""Of MTD's normal groups, those that train: it has no official split [ours]."""

VISA_TYPE = "anomaly"


def mvtec_layout(source: Path, target: Path) -> None:
    """MVTec AD and MPDD: `[TOP/]CATEGORY/{train,test,ground_truth}`, taken over as they are."""
    for folder in _categories(source, ("train", "test")):
        for part in ("train", "test", "ground_truth"):
            if (folder / part).is_dir():
                _move(folder / part, target / folder.name / part)


def loco(source: Path, target: Path) -> None:
    """MVTec LOCO: the validation images are left beside, unread; so are the masks, several an
    image, which its own metric sPRO needs.
    """
    for folder in _categories(source, ("train", "test")):
        for part, name in (
            ("train", "train"),
            ("test", "test"),
            ("validation", "validation"),
            ("ground_truth", "ground_truth_spro"),
        ):
            if (folder / part).is_dir():
                _move(folder / part, target / folder.name / name)


def btad(source: Path, target: Path) -> None:
    """BTAD: `CATEGORY/{train/ok, test/{ok,ko}, ground_truth/ko}`; `ok` becomes `good`."""
    for folder in _categories(source, ("train", "test")):
        for part in ("train/ok", "test/ok", "test/ko", "ground_truth/ko"):
            if (folder / part).is_dir():
                _move(folder / part, target / folder.name / part.replace("/ok", f"/{GOOD}"))


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
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        missing = {"object", "split", "label", "image", "mask"} - row.keys()
        if (
            missing
            or row["split"] not in ("train", "test")
            or row["label"] not in ("normal", "anomaly")
        ):
            raise DataError(f"split_csv/{split}.csv: not VisA's table ({listed(row.values())})")
        if not re.fullmatch(NAME, row["object"]):
            raise DataError(f"split_csv/{split}.csv: {row['object']!r} cannot be an object's name")
        kind = GOOD if row["label"] == "normal" else VISA_TYPE
        image = _inside(root, row["image"])
        place = target / row["object"]
        _move(image, place / row["split"] / kind / image.name)
        if row["mask"]:
            _move(
                _inside(root, row["mask"]), place / "ground_truth" / kind / f"{image.stem}_mask.png"
            )


def mtd(source: Path, target: Path) -> None:
    """MTD: `MT_TYPE/Imgs/NAME.{jpg,png}`, photo and mask. One category; MTD_TRAIN_SHARE of the
    normal photos train, chosen by a hash of their names.
    """
    folders = sorted(folder for folder in source.rglob("MT_*") if (folder / "Imgs").is_dir())
    if not folders:
        raise DataError("no folder MT_*/Imgs in the archive: is it the magnetic tile dataset?")
    for folder in folders:
        kind = folder.name.removeprefix("MT_").lower()
        photos = sorted((folder / "Imgs").glob("*.jpg"))
        order = sorted(
            photos, key=lambda path: hashlib.sha256(f"mtd\x1f{path.name}".encode()).digest()
        )
        training = set(order[: round(MTD_TRAIN_SHARE * len(order))]) if kind == "free" else set()
        for photo in photos:
            part = (
                f"train/{GOOD}" if photo in training else f"test/{GOOD if kind == 'free' else kind}"
            )
            _move(photo, target / "magnetic_tile" / part / photo.name)
            if kind != "free":
                mask = _inside(folder, f"Imgs/{photo.stem}.png")
                _move(
                    mask,
                    target / "magnetic_tile" / "ground_truth" / kind / f"{photo.stem}_mask.png",
                )


def _categories(source: Path, parts: Iterable[str]) -> list[Path]:
    """Folders that hold all the parts, at any depth."""
    first, *others = parts
    found = sorted(
        path.parent
        for path in source.rglob(first)
        if path.is_dir() and all((path.parent / part).is_dir() for part in others)
    )
    if not found:
        raise DataError(f"no folder in the archive has {listed(parts)}: is it the right archive?")
    names = [folder.name for folder in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"the archive holds category {listed(twice)} more than once")
    return found


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
