"""A small run folder of known content: one extractor, four trials."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from apc_bench.plan import EXTRACTOR, TRIAL, Step
from apc_bench.settings.sweep import Method
from apc_bench.store.info import RunInfo
from apc_bench.store.run import Run
from apc_bench.store.schemas import CURVES, METRICS_TABLE, SCORES, features_schema, maps_schema
from apc_bench.store.trials import TrialResult

ROWS, COLUMNS = 3, 5


TUNING = Step(
    EXTRACTOR,
    "t0",
    "e0",
    "d",
    "01",
    "apc",
    5,
    0,
    None,
    Method(detector="apc", backbone="builtin"),
    1.0,
)


TRIALS = tuple(
    Step(
        TRIAL,
        f"t{number}",
        f"k{number}",
        "d",
        category,
        method,
        shots,
        seed,
        needs,
        Method(detector=method, backbone="builtin"),
        1.0,
    )
    for number, (category, method, shots, seed, needs) in enumerate(
        [
            ("01", "apc", 5, 0, "e0"),
            ("01", "patchcore", 0, 0, None),
            ("02", "patchcore", 0, 0, None),
            ("02", "patchcore", 0, 1, None),
        ],
        start=1,
    )
)


def result_of(step: Step) -> TrialResult:
    """A small result whose numbers depend on the step."""
    number = int(step.result_key.removeprefix("k"))
    images = [f"test/crack/{index}.png" for index in range(4)]
    maps = (np.arange(4 * ROWS * COLUMNS).reshape(4, ROWS, COLUMNS) + number).astype(np.float16)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(maps.reshape(-1)), ROWS * COLUMNS)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 3)
    places = [
        pa.array(["a", "b"]),
        pa.array([0, 1], pa.int16()),
        pa.array([0, 1], pa.int16()),
        pa.array(["train", "train"]),
    ]
    identity = {
        name: getattr(step, name)
        for name in ("result_key", "trial_id", "dataset", "category", "method", "shots", "seed")
    }
    return TrialResult(
        scores=pa.Table.from_pylist(
            [{"image": image, "score": number + index / 7} for index, image in enumerate(images)],
            SCORES,
        ),
        maps=pa.Table.from_arrays([pa.array(images), flat], schema=maps_schema((ROWS, COLUMNS))),
        map_metadata={"grid": f"{ROWS}x{COLUMNS}", "scale": "2.0", "unit": "distance"},
        curves=pa.Table.from_pylist(
            [{"curve": "roc", "level": "image", "x": 0.0, "y": 0.5, "threshold": 1.0}], CURVES
        ),
        metrics=pa.Table.from_pylist(
            [
                {
                    **identity,
                    "subset": "test",
                    "image_auroc": number / 10,
                    "undefined": [("au_pro", "no masks")],
                }
            ],
            METRICS_TABLE,
        ),
        features=pa.Table.from_arrays([*places, vectors], schema=features_schema(3)),
    )


def write_run(path: Path) -> Run:
    """A run folder with the extractor and the trials, as a sweep leaves it."""
    run = Run(path)
    run.write_info(RunInfo(dataset="d"))
    run.planned.add([TUNING, *TRIALS])
    curves = [{"step": 1, "loss": 0.5}]
    run.extractors.write(TUNING, b"weights", curves, {"seconds": "1.5", "notes": ""})
    for step in TRIALS:
        run.trials.write(step, result_of(step))
    return run


def file_of(run: Run, kind: str, key: str) -> Path:
    """The file of one kind of a trial."""
    (path,) = (run.path / kind).rglob(f"{key}.parquet")
    return path


def alter(path: Path) -> None:
    data = path.read_bytes()
    third = len(data) // 3
    path.write_bytes(
        data[:third] + bytes(value ^ 255 for value in data[third : 2 * third]) + data[2 * third :]
    )


SPOILT: dict[str, Callable[[Path], object]] = {
    "altered": alter,
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
}
