"""The tables of a run folder: columns, types, units and meanings, as data.

Anyone can read the files with polars or DuckDB; a change raises SCHEMA_VERSION. docs/run-folder.md
is made of this.

Attempts are JSON lines instead (store/attempts.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from apc_bench.metrics.catalogue import AT_THRESHOLD, CATALOGUE, METRICS, STAGE_COSTS

SCHEMA_VERSION = 3
OLDEST_SCHEMA = 1
"""Files of a version from this one on are read (1: store/places.py; from 3 on there may be
compacted files, store/compacted.py).
"""


class Column(NamedTuple):
    """A column of a file: its name, its type, and what it means."""

    name: str
    type: pa.DataType
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class FileTable:
    """One kind of file of a run folder, described for readers. `place`: the columns in front of its
    own that say whose it is, which the store writes and reads (store/places.py).
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    place: tuple[Column, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Its own columns as Parquet holds them."""
        return _schema(self.columns)


def _schema(columns: Iterable[Column]) -> pa.Schema:
    return pa.schema([(column.name, column.type) for column in columns])


def _measured(names: Iterable[str]) -> list[Column]:
    return [Column(name, pa.float64(), CATALOGUE[name].definition) for name in names]


_SEED = Column("seed", pa.int32(), "or the fold, where a run was cross-fitted")
_PLACE = (
    Column("dataset", pa.string()),
    Column("category", pa.string()),
    Column("method", pa.string(), "the method's name in the job file"),
    Column("shots", pa.int16(), "anomalous training images; 0: frozen"),
    _SEED,
)
_SPLIT_PLACE = (*_PLACE[:2], _SEED)
_IDENTITY = (
    Column("result_key", pa.string(), "what the result was made with: equal key, equal bits"),
    Column("trial_id", pa.string(), "what the step is, whatever it was made with"),
    *_PLACE,
)

_PLAN = FileTable(
    "plan",
    "`plan.parquet`: one row per step that any sweep on the folder planned.",
    (
        *_IDENTITY,
        Column("kind", pa.string(), "extractor | trial"),
        Column("needs", pa.string(), "result_key of the extractor that a trial waits for, or null"),
        Column("detector", pa.string()),
        Column("backbone", pa.string()),
        Column("title", pa.string(), "the method's name in tables"),
    ),
)

_SPLIT = FileTable(
    "splits",
    "One file per category and seed, one row per image: what it is used for.",
    (
        Column("image", pa.string(), "relative to the category's folder"),
        Column(
            "mask",
            pa.string(),
            "relative to the category's folder, or null; where an image has several, one a line",
        ),
        Column("sha256", pa.string(), "of the image file"),
        Column("group", pa.string(), "photos of one physical part share it"),
        Column("part", pa.string(), "of groups.csv, or null"),
        Column("defect_type", pa.string(), "`good` for normal images"),
        Column("label", pa.bool_(), "true: anomalous"),
        Column("split", pa.string(), "train | reserved | test"),
        Column("draw", pa.int16(), "position in the reserve (0 is drawn first); null: not drawn"),
        Column(
            "held_out",
            pa.bool_(),
            "a normal training image that a fine-tuned detector keeps for calibration",
        ),
    ),
    _SPLIT_PLACE,
)

_SCORES = FileTable(
    "scores",
    "One row per scored image of a trial.",
    (
        Column("image", pa.string(), "relative to the category's folder"),
        Column("group", pa.string()),
        Column("defect_type", pa.string(), "`good` for normal images"),
        Column("label", pa.bool_(), "true: anomalous"),
        Column("split", pa.string(), "test | drawn | reserved | calibration | learned (normal)"),
        Column(
            "score",
            pa.float32(),
            "the image's anomaly score; a larger one is more anomalous; null where a learned image"
            " has but a distance",
        ),
        Column("worst_row", pa.int16(), "the patch with the largest score, on the map's grid"),
        Column("worst_column", pa.int16()),
        Column(
            "nearest_image",
            pa.string(),
            "the normal patch that the worst patch was compared with; null without a bank",
        ),
        Column("nearest_row", pa.int16()),
        Column("nearest_column", pa.int16()),
        Column("nearest_distance", pa.float32(), "squared L2"),
        Column(
            "mask_state",
            pa.string(),
            "present | none (no mask file) | emptied (the resize left no anomalous pixel) | normal",
        ),
        Column("height", pa.int32(), "pixels of the original image"),
        Column("width", pa.int32()),
        Column("resized_height", pa.int32(), "pixels of the resized image, before crop or padding"),
        Column("resized_width", pa.int32()),
        Column(
            "top",
            pa.int32(),
            "where the resized image lies in the input; negative: cut off by the crop",
        ),
        Column("left", pa.int32()),
        Column("seconds", pa.float32(), "of scoring, shared evenly over the images"),
    ),
    _PLACE,
)

_MAPS = FileTable(
    "maps",
    "One row per anomaly map; the schema's metadata hold grid, unit, scale, sigma and image size.",
    (
        Column("image", pa.string(), "relative to the category's folder"),
        Column(
            "map",
            pa.list_(pa.float16()),
            "the detector's own grid, row by row, times `scale`: distances or logits; of"
            " float32 where it was made elsewhere",
        ),
    ),
    _PLACE,
)

_FEATURES = FileTable(
    "features",
    "The memory bank, one row per vector, where `--features bank` keeps it.",
    (
        Column("image", pa.string(), "the training image that the vector came from"),
        Column("row", pa.int16(), "its patch on the grid"),
        Column("column", pa.int16()),
        Column("split", pa.string(), "train"),
        Column("vector", pa.list_(pa.float32()), "as long as the features have dimensions"),
    ),
    _PLACE,
)

_METRICS = FileTable(
    "metrics",
    "One row per trial and evaluated subset. Written last: a trial exists when this file verifies.",
    (
        *_IDENTITY,
        Column(
            "subset",
            pa.string(),
            "test | full (with the reserve: frozen detectors only) | type:DEFECT_TYPE",
        ),
        Column("normal", pa.int32(), "images"),
        Column("anomalous", pa.int32(), "images"),
        Column("masked", pa.int32(), "anomalous images that count at the pixel level"),
        Column(
            "emptied",
            pa.int32(),
            "anomalous images whose mask the resize emptied: image level only",
        ),
        *_measured(METRICS),
        Column("image_f1_max_threshold", pa.float64(), "an oracle, of the test set"),
        Column("pixel_f1_max_threshold", pa.float64(), "an oracle, of the test set"),
        Column("calibration_images", pa.int32(), "normal images that the threshold rests on"),
        Column("false_alarms_allowed", pa.float64(), "the share that the threshold was asked for"),
        Column("threshold", pa.float64(), "calibrated without the test set; null with the reason"),
        *_measured(AT_THRESHOLD),
        Column("undefined", pa.map_(pa.string(), pa.string()), "why a metric is null"),
        Column("training_images", pa.int32()),
        Column("bank_vectors", pa.int32(), "null without a bank"),
        *_measured(STAGE_COSTS),
        Column(
            "seconds_finetune", pa.float64(), "of the extractor that the trial used; null: frozen"
        ),
        Column(
            "peak_memory_mib", pa.float64(), "of the process; null where the system does not tell"
        ),
        Column("peak_gpu_memory_mib", pa.float64(), "null on a CPU"),
        Column("device", pa.string()),
        Column("threads", pa.int16()),
        Column("precision", pa.string()),
        Column("result_version", pa.int16(), "apc_bench.RESULT_VERSION"),
        Column(
            "notes",
            pa.list_(pa.string()),
            "what a reader must know, such as 'no masks: segmentation off'",
        ),
    ),
)

_CURVES = FileTable(
    "curves",
    "Points of a trial's curves over the test set.",
    (
        Column("curve", pa.string(), "roc | pr | pro"),
        Column("level", pa.string(), "image | pixel"),
        Column("x", pa.float64(), "roc, pro: false-positive rate; pr: recall"),
        Column("y", pa.float64(), "roc: true-positive rate; pr: precision; pro: mean overlap"),
        Column("threshold", pa.float64()),
    ),
    _PLACE,
)

_TRAINING = FileTable(
    "extractors",
    "The training curves of a fine-tuned extractor, beside its weights.",
    (
        Column("step", pa.int32()),
        Column("loss", pa.float32()),
        Column("classification", pa.float32(), "unweighted; null: the task is off"),
        Column("segmentation", pa.float32()),
        Column("reconstruction", pa.float32()),
        Column("rate", pa.float32(), "learning rate of the extractor"),
        Column("seconds", pa.float32(), "since the start"),
    ),
    _PLACE,
)

PLACE = _schema(_PLACE)
SPLIT_PLACE = _schema(_SPLIT_PLACE)
TABLES = (_PLAN, _SPLIT, _SCORES, _MAPS, _FEATURES, _METRICS, _CURVES, _TRAINING)
"""Every kind of table of a run folder, as docs/run-folder.md lists them."""

PLAN = _PLAN.schema
SPLIT = _SPLIT.schema
SCORES = _SCORES.schema
METRICS_TABLE = _METRICS.schema
CURVES = _CURVES.schema
TRAINING = _TRAINING.schema


def maps_schema(grid: tuple[int, int], *, half: bool = True) -> pa.Schema:
    """One anomaly map per image on the detector's own grid (rows, columns), row by row, as float16;
    as float32 where it was made elsewhere.
    """
    kind = pa.float16() if half else pa.float32()
    return _sized(_MAPS, pa.list_(kind, grid[0] * grid[1]))


def features_schema(dimension: int) -> pa.Schema:
    """The memory bank: one float32 vector of `dimension` a row, with the training image and patch
    that it came from.
    """
    return _sized(_FEATURES, pa.list_(pa.float32(), dimension))


def _sized(table: FileTable, values: pa.DataType) -> pa.Schema:
    """The table's schema with its last column, the values, of a fixed size."""
    return _schema([*table.columns[:-1], table.columns[-1]._replace(type=values)])
