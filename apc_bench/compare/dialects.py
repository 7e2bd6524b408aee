"""What each tool calls its figures, and how their definitions differ from ours (docs/method.md
section 5): data alone.

Names are as `plain` makes them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LINES = "log lines"

_THRESHOLD = (
    "F1 at a threshold chosen on the validation set, by default the test set itself; ours is the"
    " largest F1 of the exact curve"
)
_OTHER_PRO = "per-region overlap without a stated limit of the false-positive rate; ours is to 0.3"
_ANOMALOUS_ONLY = "over the anomalous images alone; ours is over all test images"
_AUPR = (
    "area under the precision-recall curve by trapezoids; ours is the step-wise average precision"
)
_GRID_F1 = (
    "largest F1 on a grid of 21 thresholds over min-max-scaled maps, which can only be lower than"
    " on the exact curve as here"
)
_PRO_STEPS = "to a false-positive rate of 0.3 as here, but on a grid of thresholds"
_SHRUNK = (
    "on maps and masks of 256 px, where a mask's pixel counts as anomalous at any value above 0"
    " after the resize (128 of 255 here)"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One tool's table. `metrics`: its column -> ours. `apart`: its columns without a counterpart.
    `method`, `category`: columns that name them.
    """

    tool: str
    metrics: Mapping[str, str]
    category: Sequence[str]
    method: Sequence[str] = ()
    cautions: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def speaks(self, columns: Sequence[str]) -> bool:
        """Whether a table with these columns is of this tool: it has at least one figure of its."""
        return bool(self.measured(columns))

    def measured(self, columns: Sequence[str]) -> dict[str, str]:
        """Of the columns those with a figure that is ours too, each with our name of it."""
        return _looked_up(columns, self.metrics)

    def unlike(self, columns: Sequence[str]) -> dict[str, str]:
        """Of the columns those that nothing of ours is comparable with, each with the reason."""
        return _looked_up(columns, self.apart)


def _looked_up(columns: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    return {column: known[plain(column)] for column in columns if plain(column) in known}


def plain(column: str) -> str:
    """A heading without markup, spaces and capitals: `m*F*1-max<sub>P</sub>` -> `mf1-max_p`."""
    text = re.sub(r"<sub>(.*?)</sub>", r"_\1", column)
    return re.sub(r"<[^>]*>|[*$`{}\s]", "", text).lower()


_FULL = "tested on the full test set, with its own resize and masks"

PATCHCORE = Dialect(
    "patchcore-inspection",
    {"instance_auroc": "image_auroc", "full_pixel_auroc": "pixel_auroc"},
    category=("rownames", "dataset_name"),
    apart={
        "anomaly_pixel_auroc": _ANOMALOUS_ONLY,
        "full_pro": _OTHER_PRO,
        "anomaly_pro": f"{_OTHER_PRO}, {_ANOMALOUS_ONLY}",
    },
    notes=(
        (
            f"patchcore-inspection: {_FULL}; scores and maps are scaled to 0 … 1 over the test set,"
            " which leaves ranks alone"
        ),
    ),
)
ANOMALIB = Dialect(
    "anomalib",
    {
        "image_auroc": "image_auroc",
        "pixel_auroc": "pixel_auroc",
        "image_f1max": "image_f1_max",
        "pixel_f1max": "pixel_f1_max",
        "pixel_aupro": "au_pro",
        "job_duration": "seconds_total",
    },
    category=("data.init_args.category", "data.category", "dataset.category", "category"),
    method=("model.class_path", "model.name", "model_name", "model"),
    cautions={
        "au_pro": _PRO_STEPS,
        "seconds_total": "of fit and test together; ours is a trial from features to metrics",
    },
    apart={
        "image_f1score": _THRESHOLD,
        "pixel_f1score": _THRESHOLD,
        "image_aupr": _AUPR,
        "pixel_aupr": _AUPR,
    },
    notes=(f"anomalib: {_FULL}; half of the test set may be its validation set (val_split_mode)",),
)
ADER = Dialect(
    "ADer",
    {
        "mauroc_sp_max": "image_auroc",
        "map_sp_max": "image_ap",
        "mf1_max_sp_max": "image_f1_max",
        "mauroc_px": "pixel_auroc",
        "map_px": "pixel_ap",
        "mf1_max_px": "pixel_f1_max",
        "maupro_px": "au_pro",
        "mau-roc_i": "image_auroc",
        "map_i": "image_ap",
        "mf1-max_i": "image_f1_max",
        "mau-roc_p": "pixel_auroc",
        "map_p": "pixel_ap",
        "mf1-max_p": "pixel_f1_max",
        "mau-pro_r": "au_pro",
        "mau-pro_p": "au_pro",
    },
    category=("name", "class"),
    method=("method",),
    cautions={"pixel_f1_max": _GRID_F1, "au_pro": _PRO_STEPS},
    apart={
        "miou-max_p": "intersection over union, which is not measured here",
        "miou_max_px": "intersection over union, which is not measured here",
        "mad": "a mean of seven metrics",
    },
    notes=(
        (
            f"ADer: one model for all categories; {_FULL}; columns '(Max)' are of the best epoch on"
            " the test set and left aside"
        ),
    ),
)
DINOMALY = Dialect(
    "Dinomaly or INP-Former",
    {
        "i-auroc": "image_auroc",
        "i-ap": "image_ap",
        "i-f1": "image_f1_max",
        "i-f1-max": "image_f1_max",
        "p-auroc": "pixel_auroc",
        "p-ap": "pixel_ap",
        "p-f1": "pixel_f1_max",
        "p-f1-max": "pixel_f1_max",
        "p-aupro": "au_pro",
    },
    category=("name", "category", "item", "object", "class"),
    method=("method", "model"),
    cautions={
        "pixel_auroc": _SHRUNK,
        "pixel_ap": _SHRUNK,
        "pixel_f1_max": _SHRUNK,
        "au_pro": f"{_PRO_STEPS}; {_SHRUNK}",
    },
    notes=(
        (
            f"Dinomaly or INP-Former: one seed, {_FULL}; of several evaluations in a log the last"
            " counts"
        ),
    ),
)
DIALECTS = (PATCHCORE, ANOMALIB, ADER, DINOMALY)
