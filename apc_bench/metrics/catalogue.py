"""The catalogue of metrics: every figure of a trial that tables, plots, comparisons and the gate
show, with its names and its definition.

A new metric is computed in exact.py or evaluation.py and described here; schemas, tables, plots and
options follow. Plain data: nothing here computes or imports what computes.
"""

from dataclasses import dataclass

FRACTION, SECONDS, MEBIBYTES = "fraction", "s", "MiB"
"""Units. A fraction lies between 0 and 1 and is shown in percent."""

IMAGE, PIXEL, TRIAL = "image", "pixel", "trial"
"""Levels: what a metric is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of the metrics table (store/schemas.py).

    `heading`: at the head of a table's column; `label`: in a line of text; `title`: over a plot.
    `footnote`: the word under which the definition stands below tables that show the metric, empty
    where readers need none.
    """

    name: str
    heading: str
    label: str
    title: str
    unit: str
    level: str
    definition: str
    footnote: str = ""
    higher_is_better: bool = True

    def is_worse(self, change: float) -> bool:
        """Whether a change of the value is one for the worse."""
        return change != 0 and (change < 0) == self.higher_is_better


def _accuracy(
    name: str, heading: str, title: str, level: str, definition: str, footnote: str = ""
) -> Metric:
    return Metric(
        name=name,
        heading=heading,
        label=heading,
        title=title,
        unit=FRACTION,
        level=level,
        definition=definition,
        footnote=footnote,
    )


def _rate(name: str, heading: str, definition: str) -> Metric:
    """A rate of wrong calls at the calibrated threshold."""
    return Metric(
        name=name,
        heading=heading,
        label=heading,
        title=heading,
        unit=FRACTION,
        level=IMAGE,
        definition=definition,
        higher_is_better=False,
    )


def _cost(name: str, unit: str, heading: str, label: str, title: str, definition: str) -> Metric:
    return Metric(
        name=name,
        heading=heading,
        label=label,
        title=title,
        unit=unit,
        level=TRIAL,
        definition=definition,
        higher_is_better=False,
    )


def _stage(name: str, heading: str, definition: str) -> Metric:
    return _cost(
        f"seconds_{name}",
        SECONDS,
        heading,
        f"time of {name}",
        f"{name}, s a trial",
        f"wall time: {definition}",
    )


_F1_MAX = (
    "largest F1 over all thresholds of the exact curve, per category; the threshold is chosen on"
    " the test set: an oracle"
)
_AU_PRO = (
    "area under the per-region overlap up to a false-positive rate of 0.3 over all normal pixels,"
    " divided by 0.3; 8-connected regions"
)
_AUROC = "area under the ROC curve: the share of pairs in the right order, ties half"
_AP = "average precision: precision times the step in recall, summed over thresholds"

_WHOLE_CURVE = (
    _accuracy("image_auroc", "AUROC_im", "Image AUROC", IMAGE, _AUROC),
    _accuracy("image_f1_max", "F1_im", "Image F1 (oracle)", IMAGE, _F1_MAX, "F1"),
    _accuracy("image_ap", "AP_im", "Image AP", IMAGE, _AP),
    _accuracy("pixel_auroc", "AUROC_px", "Pixel AUROC", PIXEL, _AUROC),
    _accuracy("pixel_f1_max", "F1_px", "Pixel F1 (oracle)", PIXEL, _F1_MAX, "F1"),
    _accuracy("pixel_ap", "AP_px", "Pixel AP", PIXEL, _AP),
    _accuracy("au_pro", "AU-PRO", "AU-PRO", PIXEL, _AU_PRO, "AU-PRO"),
)

_LOW, _HIGH = "lower bound (95 %, Clopper-Pearson)", "upper bound (95 %, Clopper-Pearson)"
_CALIBRATED = (
    _accuracy("f1_calibrated", "F1", "F1", IMAGE, "F1 at the calibrated threshold"),
    _rate("missed_rate", "Missed defects", "share of anomalous images called normal"),
    _rate("missed_low", "Missed defects, low", _LOW),
    _rate("missed_high", "Missed defects, high", _HIGH),
    _rate("false_alarm_rate", "False alarms", "share of normal images called anomalous"),
    _rate("false_alarm_low", "False alarms, low", _LOW),
    _rate("false_alarm_high", "False alarms, high", _HIGH),
)

_STAGE_COSTS = (
    _stage("decode", "Wait for images s", "waiting for decoded images"),
    _stage("features", "Features s", "features of the training images"),
    _stage("bank", "Bank s", "coreset of the memory bank"),
    _stage("search", "Search s", "features and scores of the test images"),
    _stage("metrics", "Metrics s", "metrics and curves"),
    _cost(
        "seconds_total",
        SECONDS,
        "Total s",
        "time of a trial",
        "whole trial, s",
        "wall time of the trial: its stages, what is loaded before them (in a process's first trial"
        " the libraries, too), and the writing of its files",
    ),
)
_FINETUNE_COST = _cost(
    "seconds_finetune",
    SECONDS,
    "Fine-tune s",
    "time of fine-tuning",
    "fine-tuning, s",
    "wall time of the extractor's training, which several trials may share",
)
_MEMORY_COSTS = (
    _cost(
        "peak_memory_mib",
        MEBIBYTES,
        "Peak MiB",
        "peak memory",
        "peak memory, MiB",
        "the largest resident memory of the process",
    ),
    _cost(
        "peak_gpu_memory_mib",
        MEBIBYTES,
        "Peak GPU MiB",
        "peak GPU memory",
        "peak GPU memory, MiB",
        "the largest memory that was allocated on the GPU",
    ),
)

CATALOGUE = {
    metric.name: metric
    for metric in (*_WHOLE_CURVE, *_CALIBRATED, *_STAGE_COSTS, _FINETUNE_COST, *_MEMORY_COSTS)
}
"""Every metric by name."""

METRICS = tuple(metric.name for metric in _WHOLE_CURVE)
"""Metrics over the whole curve, higher is better; f1_max picks its threshold on the test set (an
oracle).
"""

POSTER = ("image_auroc", "image_f1_max", "pixel_auroc", "pixel_f1_max")
"""The metrics of the APC poster, and what the gate watches unless it is told otherwise."""

AUROCS = ("image_auroc", "pixel_auroc")
"""One metric a level: what is shown by category, as gains and as ranks."""

AT_THRESHOLD = tuple(metric.name for metric in _CALIBRATED)
"""Image-level metrics at the threshold that was calibrated without the test set."""

STAGES = tuple(metric.name.removeprefix("seconds_") for metric in _STAGE_COSTS)
"""The stages of a trial whose wall seconds are measured, and `total`: all together."""

STAGE_COSTS = tuple(metric.name for metric in _STAGE_COSTS)
"""The stages' columns."""

COSTS = (*STAGE_COSTS, "seconds_finetune", *(metric.name for metric in _MEMORY_COSTS))
"""Time and memory of a trial, lower is better."""

COMPARED_COSTS = ("seconds_total", "seconds_finetune", "peak_memory_mib", "peak_gpu_memory_mib")
"""The costs that are set against another run's."""
