"""A dataset of MVTec AD's size, and run folders of thousands of made-up trials: the sweep is the
real one, only what its steps compute is not.
"""

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from PIL import Image
from rich.console import Console

from apc_bench.datasets.split import Split
from apc_bench.metrics.catalogue import AT_THRESHOLD, METRICS, STAGES
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.driver import run_sweep
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.messages import Outcome, SweepContext
from apc_bench.runner.prepare import Prepared, prepare
from apc_bench.settings.job import sweep_from
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run
from apc_bench.store.schemas import (
    CURVES,
    METRICS_TABLE,
    SCORES,
    maps_schema,
)
from apc_bench.store.trials import TrialResult

TYPES = ("bent", "broken", "colour", "cut", "scratch")
TRAIN, GOOD, PER_TYPE = 242, 31, 17  # MVTec AD's means over categories
IMAGE_SIZE, PHOTO_SIZE, GRID = 700, 900, 28
SYSTEMS = ("patchcore", "apc", "apc-frozen", "patchcore-wr50")
TRIALS_PER_SEED = (
    15 * 6
)  # of the paper's job three frozen systems and APC at three numbers of shots
STEPS_PER_SEED = 15 * 9  # and its fine-tunings
CURVE_POINTS = {
    ("image", "roc"): 60,
    ("image", "pr"): 110,
    ("pixel", "roc"): 400,
    ("pixel", "pr"): 400,
    ("pixel", "pro"): 400,
}


def write_dataset(root: Path) -> Path:
    """Fifteen categories in MVTec layout, 5,400 images of one content but for some bytes after
    their end, by which their hashes differ.
    """
    slope = np.linspace(40, 220, IMAGE_SIZE, dtype=np.uint8)
    picture = _png(np.stack([np.broadcast_to(slope, (IMAGE_SIZE, IMAGE_SIZE))] * 3, axis=-1))
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    mask[200:300, 250:400] = 255
    sweep, _ = sweep_from("paper", {})
    for category in sweep.categories or ():
        _write(root / category / "train" / "good", TRAIN, picture)
        _write(root / category / "test" / "good", GOOD, picture)
        for kind in TYPES:
            _write(root / category / "test" / kind, PER_TYPE, picture)
            _write(root / category / "ground_truth" / kind, PER_TYPE, _png(mask), "_mask")
    return root


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def _write(folder: Path, number: int, data: bytes, ending: str = "") -> None:
    folder.mkdir(parents=True)
    for index in range(number):
        path = folder / f"{index:03}{ending}.png"
        path.write_bytes(data + str(path).encode())


def with_photos(root: Path) -> None:
    """Puts one photo-like picture, as large and as hard to decode as MVTec AD's, in the place of
    every image.
    """
    generator = np.random.default_rng(0)
    smooth = Image.fromarray(generator.integers(60, 200, (60, 60, 3), np.uint8)).resize(
        (PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BICUBIC
    )
    grain = generator.integers(-6, 7, (PHOTO_SIZE, PHOTO_SIZE, 3))
    (root / "photo").write_bytes(
        _png((np.asarray(smooth).astype(int) + grain).clip(0, 255).astype(np.uint8))
    )
    for path in root.rglob("*.png"):
        if "ground_truth" not in path.parts:
            path.unlink()
            path.hardlink_to(root / "photo")


def write_job(path: Path) -> Path:
    """The paper's job without PRNet, with the backbone that is here: its weights are known, so that
    the command line finds the same steps.
    """
    job = yaml.safe_load((Path(__file__).resolve().parents[2] / "jobs" / "paper.yaml").read_text())
    job["methods"] = {name: job["methods"][name] for name in SYSTEMS}
    for number, method in enumerate(job["methods"].values()):
        method |= {
            "backbone": "builtin",
            "settings": {"pretrain_dim": 64, "target_dim": 64 - number},
        }
    job["precision"] = "float32"  # as the made-up results say
    path.write_text(yaml.safe_dump(job, sort_keys=False))
    return path


def planned(
    data: Path, cache: Path, seeds: int, *, job: Path | None = None, **flags: Any
) -> Prepared:
    """The paper's job on `data` with some number of seeds, without PRNet: with its weights not
    looked at, or a `job` of `write_job` with all that a sweep looks at.
    """
    sweep, _ = sweep_from(
        str(job or "paper"),
        {"seeds": tuple(range(seeds)), "device": "cpu", "only": SYSTEMS, **flags},
    )
    return prepare(sweep, data, Cache(cache), say=lambda line: None, dry=job is None)


def copy_run(run: Path, path: Path, created: str) -> Path:
    """The same run once more, begun at another time (UTC in ISO 8601): hard links to its files."""
    shutil.copytree(run, path, copy_function=os.link, ignore=shutil.ignore_patterns("report"))
    info = json.loads((run / "run.json").read_text())
    (path / "run.json").unlink()
    (path / "run.json").write_text(json.dumps({**info, "created": created}))
    return path


def write_run(path: Path, prepared: Prepared, cache: Path) -> None:
    """Sweeps into the run folder `path`, or adds to it: every file is written by the store as a
    real step has it written.
    """
    made_up = _MadeUp(prepared)
    with mock.patch("apc_bench.runner.driver._perform", made_up):
        summary = run_sweep(
            prepared, path, Cache(cache), Execution("serial"), Console(file=io.StringIO())
        )
    assert not summary.failed, summary.failed[0]


class _MadeUp:
    """Does a step by writing random numbers in the form of a real result."""

    def __init__(self, prepared: Prepared) -> None:
        self.splits = {
            (one.category.name, seed): split
            for one in prepared.planned
            for seed, split in one.splits.items()
        }
        self.generator = np.random.default_rng(0)
        self.curves = _curves(self.generator)

    def __call__(self, step: Step, context: SweepContext) -> Outcome:
        run = Run(context.run)
        known = {"result_key": step.result_key, "kind": step.kind, "step": step.name}
        attempts.record(run.attempts_folder, attempts.START, **known)
        if step.kind == EXTRACTOR:
            curve = [{"step": index, "loss": 1 / (1 + index)} for index in range(20)]
            run.extractors.write(step, b"weights", curve, {"seconds": "1.5", "notes": ""})
        else:
            run.trials.write(step, self._result(step))
        attempts.record(run.attempts_folder, attempts.DONE, **known, seconds=0.0)
        return Outcome(True, 0.0)

    def _result(self, step: Step) -> TrialResult:
        scores = _scores(self.splits[step.category, step.seed], step.shots, self.generator)
        tested = scores.filter(pc.is_in(scores["split"], pa.array(["test", "drawn", "reserved"])))
        one = self.generator.random(GRID * GRID).astype(
            np.float16
        )  # the same map for every image: small on the disk, as large to read
        flat = pa.FixedSizeListArray.from_arrays(pa.array(np.tile(one, len(tested))), GRID * GRID)
        return TrialResult(
            scores=scores,
            maps=pa.Table.from_arrays([tested["image"], flat], schema=maps_schema((GRID, GRID))),
            map_metadata={
                "grid": f"{GRID}x{GRID}",
                "scale": "1.0",
                "unit": "squared L2 distance",
                "sigma": "4.0",
                "image_size": "224",
            },
            curves=self.curves,
            metrics=_metrics(step, self.generator),
        )


def _scores(split: Split, shots: int, generator: np.random.Generator) -> pa.Table:
    drawn = set(split.drawn(shots))
    chosen = [
        (row, "drawn" if index in drawn else row.split)
        for index, row in enumerate(split.rows)
        if row.split != "train"
    ]
    chosen += [(row, "calibration") for row in split.rows if row.split == "train" and row.held_out]
    count = len(chosen)
    columns = {
        "image": [row.sample.image for row, _ in chosen],
        "group": [row.sample.group for row, _ in chosen],
        "defect_type": [row.sample.defect_type for row, _ in chosen],
        "label": [row.sample.anomalous for row, _ in chosen],
        "split": [name for _, name in chosen],
        "mask_state": ["present" if row.sample.anomalous else "normal" for row, _ in chosen],
        "nearest_image": [
            f"train/good/{number:03}.png" for number in generator.integers(0, TRAIN, count)
        ],
    }
    numbers = {
        name: generator.random(count, np.float32)
        for name in ("score", "nearest_distance", "seconds")
    }
    places = (
        "worst_row",
        "worst_column",
        "nearest_row",
        "nearest_column",
        "height",
        "width",
        "resized_height",
        "resized_width",
        "top",
        "left",
    )
    numbers |= {name: generator.integers(0, GRID, count) for name in places}
    return pa.table(
        [
            pa.array(columns.get(name, numbers.get(name)), SCORES.field(name).type)
            for name in SCORES.names
        ],
        schema=SCORES,
    )


def _curves(generator: np.random.Generator) -> pa.Table:
    rows = []
    for (level, curve), count in CURVE_POINTS.items():
        x, y = np.sort(generator.random(count)), np.sort(generator.random(count))
        rows += [
            {
                "curve": curve,
                "level": level,
                "x": float(a),
                "y": float(b),
                "threshold": float(count - index),
            }
            for index, (a, b) in enumerate(zip(x, y, strict=True))
        ]
    return pa.Table.from_pylist(rows, CURVES)


def _metrics(step: Step, generator: np.random.Generator) -> pa.Table:
    frozen = not step.settings.settings.fine_tuned
    numbers = (
        "image_f1_max_threshold",
        "pixel_f1_max_threshold",
        "threshold",
        *(f"seconds_{stage}" for stage in STAGES),
        *AT_THRESHOLD,
    )
    rows = []
    for subset in ("test", *(["full"] if frozen else []), *(f"type:{kind}" for kind in TYPES)):
        row = {
            name: getattr(step, name)
            for name in ("result_key", "trial_id", "dataset", "category", "method", "shots", "seed")
        }
        row |= {
            "subset": subset,
            "normal": GOOD,
            "anomalous": PER_TYPE,
            "masked": PER_TYPE,
            "emptied": 0,
            "calibration_images": 24,
        }
        row |= dict(zip(METRICS, generator.uniform(0.5, 1.0, len(METRICS)).tolist(), strict=True))
        row |= dict(zip(numbers, generator.random(len(numbers)).tolist(), strict=True))
        row |= {
            "false_alarms_allowed": 0.05,
            "training_images": TRAIN,
            "bank_vectors": 20_000,
            "peak_memory_mib": 900.0,
            "device": "cpu",
        }
        row |= {
            "seconds_finetune": None if frozen else 60.0,
            "threads": 1,
            "precision": "float32",
            "result_version": 1,
            "notes": [],
        }
        undefined = [
            name for name in METRICS if not name.startswith("image_") and subset.startswith("type:")
        ]
        rows.append(
            {
                **row,
                **dict.fromkeys(undefined),
                "undefined": [(name, "computed on the whole test set only") for name in undefined],
            }
        )
    return pa.Table.from_pylist(rows, METRICS_TABLE)
