"""splits/: who is train, reserved and test for each category and seed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from apc_bench.datasets.samples import Sample
from apc_bench.datasets.split import Assigned, Split
from apc_bench.errors import DamagedFile
from apc_bench.store.files import read_table, write_table
from apc_bench.store.folder import RunFolder, in_parallel
from apc_bench.store.known_files import KnownFiles
from apc_bench.store.places import folders_of, placed
from apc_bench.store.schemas import SPLIT, SPLIT_PLACE


class Splits:
    """The splits of a run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def write(self, split: Split) -> None:
        """Writes the split of one category and seed, unless it is there: a sweep that goes on may
        have thousands. Raises StorageError.
        """
        place = _place(split.dataset, split.category, split.seed)
        schema = self._folder.schema
        table = pa.Table.from_pylist([_row_of(row) for row in split.rows], SPLIT)
        metadata = {"kind": "split", "reserve": str(split.reserve)}
        path = self._path(place)
        if not self._holds(path, table, metadata):
            write_table(path, placed(schema, SPLIT_PLACE, place, table), metadata, schema)

    def _holds(self, path: Path, table: pa.Table, metadata: Mapping[str, str]) -> bool:
        """Whether a file verifies and has these rows."""
        if not path.is_file():
            return False
        try:
            there, known = read_table(path, SPLIT, SPLIT_PLACE)
        except DamagedFile:
            return False
        return metadata.items() <= known.items() and there.equals(table)

    def lacking(
        self, dataset: str, places: Iterable[tuple[str, int]], known: KnownFiles
    ) -> set[tuple[str, int]]:
        """Those of the categories and seeds whose split is not there or does not verify."""
        unique = list(dict.fromkeys(places))

        def sound(path: Path) -> bool:
            return path.is_file() and known.read(path, _kind) == "split"

        paths = [self._path(_place(dataset, category, seed)) for category, seed in unique]
        found = zip(unique, in_parallel(sound, paths), strict=True)
        return {place for place, whole in found if whole is not True}

    def read(self, dataset: str, category: str, seed: int) -> Split:
        """The split as it was written, but for `training` of an anomalous sample, which is not
        kept: its draw is done. Raises DamagedFile.
        """
        table, metadata = read_table(
            self._path(_place(dataset, category, seed)), SPLIT, SPLIT_PLACE
        )
        rows = tuple(_assigned(row) for row in table.to_pylist())
        return Split(dataset, category, seed, int(metadata["reserve"]), rows)

    def _path(self, place: Mapping[str, Any]) -> Path:
        folders = folders_of(self._folder.schema, SPLIT_PLACE, place)
        return Path(f"{self._folder.path}/splits/{folders}/split.parquet")


def _kind(path: Path) -> str:
    """What a file that verifies is. Raises DamagedFile."""
    return read_table(path)[1].get("kind", "")


def _place(dataset: str, category: str, seed: int) -> dict[str, Any]:
    return {"dataset": dataset, "category": category, "seed": seed}


def _row_of(row: Assigned) -> dict[str, Any]:
    return {
        "image": row.sample.image,
        "mask": "\n".join(row.sample.masks) or None,
        "sha256": row.sha256,
        "group": row.sample.group,
        "part": row.sample.part,
        "defect_type": row.sample.defect_type,
        "label": row.sample.anomalous,
        "split": row.split,
        "draw": row.draw,
        "held_out": row.held_out,
    }


def _assigned(row: dict[str, Any]) -> Assigned:
    mask, *more_masks = (row["mask"] or "").split("\n")
    sample = Sample(
        row["image"],
        mask or None,
        row["defect_type"],
        training=row["split"] == "train",
        group=row["group"],
        part=row["part"],
        more_masks=tuple(more_masks),
    )
    return Assigned(sample, row["sha256"], row["split"], row["draw"], row["held_out"])
