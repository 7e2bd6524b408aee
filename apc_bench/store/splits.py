"""splits/: who is train, reserved and test for each category and seed."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from apc_bench.datasets.samples import Sample
from apc_bench.datasets.split import Assigned, Split
from apc_bench.store.files import read_table, write_table
from apc_bench.store.schemas import SPLIT


class Splits:
    """The splits of a run."""

    def __init__(self, run: Path) -> None:
        self._folder = run / "splits"

    def write(self, split: Split) -> None:
        """Writes the split of one category and seed. Raises StorageError."""
        write_table(
            self._path(split.dataset, split.category, split.seed),
            pa.Table.from_pylist([_row_of(row) for row in split.rows], SPLIT),
            {"kind": "split", "reserve": str(split.reserve)},
        )

    def read(self, dataset: str, category: str, seed: int) -> Split:
        """The split as it was written, but for `training` of an anomalous sample, which is not
        kept: its draw is done. Raises DamagedFile.
        """
        table, metadata = read_table(self._path(dataset, category, seed), SPLIT)
        rows = tuple(_assigned(row) for row in table.to_pylist())
        return Split(dataset, category, seed, int(metadata["reserve"]), rows)

    def _path(self, dataset: str, category: str, seed: int) -> Path:
        place = (f"dataset={dataset}", f"category={category}", f"seed={seed}")
        return self._folder.joinpath(*place, "split.parquet")


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
