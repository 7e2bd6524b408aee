"""Folders CATEGORY/ of photos with a labels.csv: image, type (good or a defect), train (1 or 0)."""

import csv

from apc_bench.datasets.layouts import Category, Dataset, Sample


def read(root, name):
    categories = []
    for table in sorted(root.glob("*/labels.csv")):
        with table.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        samples = (
            Sample(row["image"], None, row["type"], row["train"] == "1", row["image"])
            for row in rows
        )
        categories.append(
            Category(
                table.parent.name,
                table.parent,
                tuple(sorted(samples, key=lambda sample: sample.image)),
            )
        )
    return Dataset(name, root, tuple(categories)) if categories else None
