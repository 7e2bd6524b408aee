"""The tables of a run folder: columns, types and units. Anyone can read them with polars or DuckDB;
a change raises SCHEMA_VERSION.

plan      one row per step            scores   one row per scored image       metrics  one row per
trial and subset split     one row per image           maps     one row per map
curves   points of ROC, PR and PRO curves training  one row per training step   features one row per
bank vector        (attempts are JSON lines: store/attempts.py)
"""

import pyarrow as pa

from apc_bench.metrics.catalogue import AT_THRESHOLD, METRICS, STAGE_COSTS

SCHEMA_VERSION = 1

_identity = [
    ("result_key", pa.string()),
    ("trial_id", pa.string()),
    ("dataset", pa.string()),
    ("category", pa.string()),
    ("method", pa.string()),
    ("shots", pa.int16()),
    ("seed", pa.int32()),
]

PLAN = pa.schema(
    [
        *_identity,
        ("kind", pa.string()),  # extractor | trial
        ("needs", pa.string()),  # result_key of the extractor that a trial waits for, or null
        ("detector", pa.string()),
        ("backbone", pa.string()),
        ("title", pa.string()),  # the method's name in tables
    ]
)

SPLIT = pa.schema(
    [
        ("image", pa.string()),  # relative to the category's folder
        ("mask", pa.string()),  # relative to the category's folder, or null
        ("sha256", pa.string()),
        ("group", pa.string()),
        ("part", pa.string()),  # of groups.csv, or null
        ("defect_type", pa.string()),  # 'good' for normal images
        ("label", pa.bool_()),  # true: anomalous
        ("split", pa.string()),  # train | reserved | test
        ("draw", pa.int16()),  # position in the reserve (0 is drawn first); null: not drawn
        (
            "held_out",
            pa.bool_(),
        ),  # a normal training image that a fine-tuned detector keeps for calibration
    ]
)

SCORES = pa.schema(
    [
        ("image", pa.string()),
        ("group", pa.string()),
        ("defect_type", pa.string()),
        ("label", pa.bool_()),
        ("split", pa.string()),  # test | drawn | reserved | calibration
        ("score", pa.float32()),  # the image's anomaly score; a larger one is more anomalous
        ("worst_row", pa.int16()),  # the patch with the largest score, on the map's grid
        ("worst_column", pa.int16()),
        (
            "nearest_image",
            pa.string(),
            # the normal patch that the worst patch was compared with; null without a bank
        ),
        ("nearest_row", pa.int16()),
        ("nearest_column", pa.int16()),
        ("nearest_distance", pa.float32()),  # squared L2
        (
            "mask_state",
            pa.string(),
        ),  # present | none (no mask file) | emptied (the resize left no anomalous pixel) | normal
        ("height", pa.int32()),  # pixels of the original image
        ("width", pa.int32()),
        ("resized_height", pa.int32()),  # pixels of the resized image, before crop or padding
        ("resized_width", pa.int32()),
        (
            "top",
            pa.int32(),
        ),  # where the resized image lies in the input; negative: cut off by the crop
        ("left", pa.int32()),
        ("seconds", pa.float32()),
    ]
)


def maps_schema(grid: tuple[int, int], *, half: bool = True) -> pa.Schema:
    """One anomaly map per image on the detector's own grid (rows, columns), row by row, as float16;
    as float32 where it was made elsewhere.
    """
    kind = pa.float16() if half else pa.float32()
    return pa.schema([("image", pa.string()), ("map", pa.list_(kind, grid[0] * grid[1]))])


def features_schema(dimension: int, *, half: bool = False) -> pa.Schema:
    """The memory bank: one row per vector, with the training image and patch that it came from."""
    kind = pa.float16() if half else pa.float32()
    return pa.schema(
        [
            ("image", pa.string()),
            ("row", pa.int16()),
            ("column", pa.int16()),
            ("split", pa.string()),
            ("vector", pa.list_(kind, dimension)),
        ]
    )


METRICS_TABLE = pa.schema(
    [
        *_identity,
        (
            "subset",
            pa.string(),
        ),  # test | full (with the reserve: frozen detectors only) | type:<defect type>
        ("normal", pa.int32()),  # images
        ("anomalous", pa.int32()),
        ("masked", pa.int32()),  # anomalous images that count at the pixel level
        ("emptied", pa.int32()),  # anomalous images whose mask the resize emptied: image level only
        *((name, pa.float64()) for name in METRICS),
        ("image_f1_max_threshold", pa.float64()),
        ("pixel_f1_max_threshold", pa.float64()),
        ("calibration_images", pa.int32()),
        ("false_alarms_allowed", pa.float64()),
        ("threshold", pa.float64()),
        *((name, pa.float64()) for name in AT_THRESHOLD),
        ("undefined", pa.map_(pa.string(), pa.string())),  # why a metric is null
        ("training_images", pa.int32()),
        ("bank_vectors", pa.int32()),
        *((name, pa.float64()) for name in STAGE_COSTS),
        ("seconds_finetune", pa.float64()),  # of the extractor that the trial used; null: frozen
        ("peak_memory_mib", pa.float64()),  # of the process; null where the system does not tell
        ("peak_gpu_memory_mib", pa.float64()),  # null on a CPU
        ("device", pa.string()),
        ("threads", pa.int16()),
        ("precision", pa.string()),
        ("result_version", pa.int16()),
        (
            "notes",
            pa.list_(pa.string()),
        ),  # what a reader must know, such as 'no masks: segmentation off'
    ]
)

CURVES = pa.schema(
    [
        ("curve", pa.string()),  # roc | pr | pro
        ("level", pa.string()),  # image | pixel
        ("x", pa.float64()),  # roc, pro: false-positive rate; pr: recall
        ("y", pa.float64()),  # roc: true-positive rate; pr: precision; pro: mean per-region overlap
        ("threshold", pa.float64()),
    ]
)

TRAINING = pa.schema(
    [
        ("step", pa.int32()),
        ("loss", pa.float32()),
        ("classification", pa.float32()),  # unweighted; null: the task is off
        ("segmentation", pa.float32()),
        ("reconstruction", pa.float32()),
        ("rate", pa.float32()),  # learning rate of the extractor
        ("seconds", pa.float32()),  # since the start
    ]
)
