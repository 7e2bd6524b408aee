"""Published figures, and when they may stand beside a run's (docs/method.md section 6)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from apc_bench.metrics.catalogue import METRICS
from apc_bench.results.aggregate import Results
from apc_bench.results.folders import reports_folder
from apc_bench.settings.base import Frozen


class PublishedResult(Frozen):
    """One published result in percent. `shots`: anomalous training images per category, 0 for
    normal images only, None where unknown. `means`: of the metrics that the source has, which stand
    beside the other keys in a file; `per_category`: image and pixel AUROC.
    """

    system: str
    source: str
    shots: int | None
    means: dict[str, float] = Field(default_factory=dict)
    per_category: dict[str, tuple[float, float]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, keys: Mapping[str, Any]) -> dict[str, Any]:
        others = {name: value for name, value in keys.items() if name not in METRICS}
        means = {name: keys[name] for name in METRICS if keys.get(name) is not None}
        return {"means": means, **others}


class PublishedTable(Frozen):
    """The figures of one dataset: means over `categories`. `sources`: what a figure's source is, in
    words.
    """

    dataset: str
    categories: tuple[str, ...]
    sources: dict[str, str]
    figures: tuple[PublishedResult, ...]


def read_published(folder: Path | None = None) -> tuple[PublishedTable, ...]:
    """Every file of published figures that the package ships, or of another folder."""
    files = sorted((folder or reports_folder() / "published").glob("*.yaml"))
    return tuple(
        PublishedTable.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in files
    )


def comparable(
    published: Sequence[PublishedTable], results: Results
) -> tuple[tuple[PublishedResult, str], ...]:
    """The figures that may stand beside a run's, each with its source: same dataset, all its
    categories, same shots, nothing missing.
    """
    shots = {system.shots for system in results.systems}
    whole = not any(results.missing(system) for system in results.systems)
    return tuple(
        (figure, group.sources[figure.source])
        for group in published
        for figure in group.figures
        if whole
        and group.dataset == results.dataset
        and set(group.categories) == set(results.categories)
        and figure.shots in shots
    )


def why_none(published: Sequence[PublishedTable], results: Results) -> str | None:
    """Why no published figure stands in a table of a dataset for which there are some; None for
    other datasets.
    """
    group = next((group for group in published if group.dataset == results.dataset), None)
    if group is None or comparable(published, results):
        return None
    absent = set(group.categories) - set(results.categories)
    if absent or set(results.categories) - set(group.categories):
        return (
            f"left out: they are means over {len(group.categories)} categories, this run has"
            f" {len(results.categories)}"
        )
    if any(results.missing(system) for system in results.systems):
        return "left out while trials are missing"
    return "left out: none at these shots"
