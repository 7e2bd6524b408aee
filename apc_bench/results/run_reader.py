"""What a report needs of a run: the reader of a run folder (store/run.py) fits it, and so may the
results of another tool.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from apc_bench.datasets.split import Split
from apc_bench.store.attempts import Failure
from apc_bench.store.info import RunInfo


class RunReader(Protocol):
    """A run folder's tables (columns: store/schemas.py). A table that does not verify raises
    DamagedFile and is named in `damaged`; `metrics`, `scores_of` and `curves_of` go on without it,
    and `image_counts` leaves it out.
    """

    @property
    def path(self) -> Path:
        """The run folder."""

    @property
    def damaged(self) -> list[str]:
        """What did not verify so far, by name."""

    @property
    def info(self) -> RunInfo:
        """What run.json records."""

    def plan(self) -> pl.DataFrame:
        """Every step that was ever planned."""

    def metrics(self) -> pl.DataFrame:
        """Every trial's metrics by subset."""

    def failures(self) -> Sequence[Failure]:
        """Steps that were tried and are not done."""

    def image_counts(self, result_keys: Sequence[str]) -> Mapping[str, int]:
        """Result key -> scored images, of the trials that can be read."""

    def scores(self, result_key: str) -> pl.DataFrame:
        """A trial's scored images."""

    def maps(self, result_key: str) -> tuple[list[str], NDArray[np.float32]]:
        """Images, and their anomaly maps (images, rows, columns)."""

    def curves(self, result_key: str) -> pl.DataFrame:
        """The points of a trial's ROC, PR and PRO curves."""

    def scores_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> Mapping[str, pl.DataFrame]:
        """Result key -> a trial's scored images, of those trials that can be read; far faster than
        one by one. `columns`: only these.
        """

    def curves_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> Mapping[str, pl.DataFrame]:
        """Result key -> the points of a trial's curves, as `scores_of`."""

    def split(self, category: str, seed: int) -> Split:
        """Who is train, drawn, reserved, test or calibration."""
