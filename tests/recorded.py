"""Recorded nights made of one real run: copies of its folder whose metrics, dates and revisions are
changed, in files that verify.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from apc_bench.store.files import read_table, write_table

Row = dict[str, Any]


def record(
    run: Path,
    out: Path,
    change: Callable[[Row], object] = lambda row: None,
    *,
    day: int = 1,
    **info: Any,
) -> Path:
    """A copy of a run's tables as a night of its own. `change` alters a row of metrics in place.
    `info`: what run.json says otherwise.
    """
    out.mkdir(parents=True)
    for name in ("plan.parquet", "run.json"):
        shutil.copy(run / name, out / name)
    shutil.copytree(run / "attempts", out / "attempts")
    for path in run.glob("metrics/**/*.parquet"):
        table, metadata = read_table(path)
        rows = table.to_pylist()
        for row in rows:
            change(row)
        metadata.pop("schema")
        write_table(out / path.relative_to(run), pa.Table.from_pylist(rows, table.schema), metadata)
    found = json.loads((out / "run.json").read_text())
    found |= {"created": f"2026-10-{day:02d}T02:00:00+00:00", **info}
    (out / "run.json").write_text(json.dumps(found))
    return out


def noisy(
    night: int,
    spread: float = 0.003,
    *,
    level: float = 0.8,
    metrics: tuple[str, ...] = ("image_auroc",),
) -> Callable[[Row], None]:
    """Sets metrics to `level` with a noise of their own for each night, method, category and
    seed.
    """

    def change(row: Row) -> None:
        for index, metric in enumerate(metrics):
            place = [
                night,
                index,
                row["seed"],
                row["shots"],
                *row["category"].encode(),
                *row["method"].encode(),
            ]
            row[metric] = level + spread * float(np.random.default_rng(place).standard_normal())

    return change
