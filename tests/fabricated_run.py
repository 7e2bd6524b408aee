"""Fabricated runs: results of known numbers behind the reader's interface, and images to go with
them.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from PIL import Image, ImageDraw
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from apc_bench.datasets.samples import Sample
from apc_bench.datasets.split import Assigned, Split
from apc_bench.metrics.catalogue import AT_THRESHOLD, METRICS, STAGES
from apc_bench.settings.sweep import Sweep
from apc_bench.store.attempts import Failure
from apc_bench.store.info import RunInfo
from apc_bench.store.schemas import (
    CURVES,
    METRICS_TABLE,
    PLAN,
    SCHEMA_VERSION,
    SCORES,
)

GRID = 14
METHODS = {
    "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"},
    "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
}


def assigned(row: dict[str, Any]) -> Assigned:
    """A row of a split's table as the splits themselves have it."""
    training = row["split"] == "train"
    sample = Sample(row["image"], row["mask"], row["defect_type"], training, row["group"])
    return Assigned(sample, row["sha256"], row["split"], row["draw"], row["held_out"])


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pl.DataFrame:
    frame = pl.from_arrow(pa.Table.from_pylist(rows, schema))
    assert isinstance(frame, pl.DataFrame)
    return frame


@dataclass
class FabricatedRun:
    """The reader's interface over rows in memory; tests change the rows before they report."""

    path: Path
    run_json: dict[str, Any]
    plan_rows: list[dict[str, Any]] = field(default_factory=list)
    metric_rows: list[dict[str, Any]] = field(default_factory=list)
    score_rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    anomaly_maps: dict[str, tuple[list[str], np.ndarray]] = field(default_factory=dict)
    curve_rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    split_rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def info(self) -> RunInfo:
        return RunInfo.from_json(self.run_json)

    def plan(self) -> pl.DataFrame:
        return table(self.plan_rows, PLAN)

    def metrics(self) -> pl.DataFrame:
        return table(self.metric_rows, METRICS_TABLE)

    def failures(self) -> list[Failure]:
        return self.failed

    def image_counts(self, result_keys: Sequence[str]) -> dict[str, int]:
        return {key: len(self.score_rows[key]) for key in result_keys if key in self.score_rows}

    def scores(self, result_key: str) -> pl.DataFrame:
        return table(self.score_rows[result_key], SCORES)

    def maps(self, result_key: str) -> tuple[list[str], np.ndarray]:
        return self.anomaly_maps[result_key]

    def curves(self, result_key: str) -> pl.DataFrame:
        return table(self.curve_rows[result_key], CURVES)

    def scores_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        return _each(self.scores, result_keys, self.score_rows, columns)

    def curves_of(
        self, result_keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        return _each(self.curves, result_keys, self.curve_rows, columns)

    def split(self, category: str, seed: int) -> Split:
        rows = tuple(map(assigned, self.split_rows[category]))
        return Split(self.info.dataset, category, seed, 10, rows)

    def value(
        self, method: str, category: str, shots: int, seed: int, metric: str, subset: str = "test"
    ) -> Any:
        wanted = (method, category, shots, seed, subset)
        return next(row[metric] for row in self.metric_rows if _place(row) == wanted)

    def drop(
        self,
        method: str,
        category: str,
        shots: int,
        seed: int,
        reason: str | None = None,
        kind: str = "trial",
    ) -> None:
        """Takes a trial's result away, and where there is a reason lets it or its extractor have
        failed.
        """
        self.metric_rows = [
            row for row in self.metric_rows if _place(row)[:4] != (method, category, shots, seed)
        ]
        if reason:
            place = {
                "method": method,
                "category": category,
                "shots": shots,
                "seed": seed,
                "kind": kind,
            }
            row = next(row for row in self.plan_rows if place.items() <= row.items())
            self.failed.append(
                Failure(row["result_key"], kind, category, method, shots, seed, reason, None)
            )


def _each(
    read: Callable[[str], pl.DataFrame],
    result_keys: Sequence[str],
    readable: Container[str],
    columns: Sequence[str] | None,
) -> dict[str, pl.DataFrame]:
    frames = {key: read(key) for key in result_keys if key in readable}
    return {key: frame.select(columns or pl.all()) for key, frame in frames.items()}


def _place(row: dict[str, Any]) -> tuple[str, str, int, int, str]:
    return row["method"], row["category"], row["shots"], row["seed"], row["subset"]


def fabricate(
    path: Path,
    *,
    categories: Iterable[str] = ("granite", "weave"),
    shots: tuple[int, ...] = (1, 5, 10),
    seeds: tuple[int, ...] = (0, 1, 2),
    methods: dict[str, dict[str, Any]] | None = None,
    dataset: str = "synthetic",
    detail: bool = True,
    tests: int = 12,
) -> FabricatedRun:
    """A whole run. Without `detail` its metrics are plain random numbers and there are no scores,
    maps and curves.
    """
    methods = methods or METHODS
    sweep = Sweep.model_validate(
        {"dataset": dataset, "methods": methods, "shots": shots, "seeds": seeds, "image_size": 64}
    )
    run_json = {
        "schema": SCHEMA_VERSION,
        "dataset": dataset,
        "data": "/data/some where",
        "settings": sweep.model_dump(mode="json"),
        "fingerprints": {category: f"{index:016x}" for index, category in enumerate(categories)},
        "weights": {name: {"sha256": "ab" * 32, "origin": "shipped"} for name in methods},
        "computing": {"torch": "2.15.0", "numpy": "2.4.6", "device": "cpu/avx2"},
        "environment": {
            "apc_bench": "0.1.0",
            "python": "3.11.7",
            "cores": 2,
            "gpus": [],
            "git": None,
            "command": ["apc-bench", "sweep", "--run", "a b"],
        },
        "left_out": {},
        "emptied": {},
        "created": "2025-01-02T03:04:05+00:00",
    }
    run = FabricatedRun(path, run_json)
    for category in categories:
        run.split_rows[category] = _split(tests)
        for index, (name, method) in enumerate(methods.items()):
            for number in shots if method["detector"] == "apc" else (0,):
                for seed in seeds:
                    generator = np.random.default_rng(
                        [len(category), *category.encode(), index, number, seed]
                    )
                    _add_trial(run, category, name, method, number, seed, generator, detail)
    return run


def _split(tests: int) -> list[dict[str, Any]]:
    rows = [(f"train/good/{n:03d}.png", "good", "train") for n in range(6)]
    rows += [
        (f"test/{kind}/{n:03d}.png", kind, "test")
        for kind in ("crack", "good", "stain")
        for n in range(tests)
    ]
    rows += [(f"test/crack/{tests + n:03d}.png", "crack", "reserved") for n in range(2)]
    return [
        {
            "image": image,
            "mask": (
                image.replace("test/", "ground_truth/").replace(".png", "_mask.png")
                if kind != "good"
                else None
            ),
            "sha256": "0" * 64,
            "group": image,
            "part": None,
            "defect_type": kind,
            "label": kind != "good",
            "split": split,
            "draw": None,
            "held_out": False,
        }
        for image, kind, split in rows
    ]


def _add_trial(
    run: FabricatedRun,
    category: str,
    name: str,
    method: dict[str, Any],
    shots: int,
    seed: int,
    generator: np.random.Generator,
    detail: bool,
) -> None:
    key = f"{name}-{category}-{shots}-{seed}"
    identity = {
        "result_key": key,
        "trial_id": f"id-{key}",
        "dataset": run.info.dataset,
        "category": category,
        "method": name,
        "shots": shots,
        "seed": seed,
    }
    kinds = {
        "detector": method["detector"],
        "backbone": method["backbone"],
        "title": method.get("title") or name,
    }
    if shots:
        run.plan_rows.append(
            {**identity, **kinds, "result_key": f"x-{key}", "kind": "extractor", "needs": None}
        )
    run.plan_rows.append(
        {**identity, **kinds, "kind": "trial", "needs": f"x-{key}" if shots else None}
    )
    row = {
        **identity,
        "subset": "test",
        "normal": 12,
        "anomalous": 24,
        "masked": 24,
        "emptied": 0,
        **{metric: float(generator.uniform(0.6, 1.0)) for metric in METRICS},
        **{figure: float(generator.uniform(0.1, 0.4)) for figure in AT_THRESHOLD},
        "calibration_images": 20,
        "false_alarms_allowed": 0.05,
        "threshold": 2.0,
        "undefined": [],
        "training_images": 6,
        "bank_vectors": 100,
        **{f"seconds_{stage}": float(generator.uniform(0.1, 3)) for stage in STAGES},
        "seconds_finetune": 12.5 if shots else None,
        "peak_memory_mib": float(generator.uniform(400, 900)),
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "result_version": 1,
        "notes": [],
    }
    if detail:
        row |= _add_detail(run, category, key, shots, generator)
    run.metric_rows.append(row)
    if not shots:
        more = {metric: float(generator.uniform(0.6, 1.0)) for metric in METRICS}
        run.metric_rows.append({**row, **more, "subset": "full", "anomalous": 26})


def _add_detail(
    run: FabricatedRun, category: str, key: str, shots: int, generator: np.random.Generator
) -> dict[str, float]:
    """Scores, maps and curves that agree with each other; returns the metrics they give
    (scikit-learn).
    """
    gain = 1.2 + 0.12 * shots
    drawn = [sample for sample in run.split_rows[category] if sample["split"] == "reserved"][:shots]
    rows, names, maps, labels = [], [], [], []
    for sample in run.split_rows[category]:
        label = sample["label"]
        map_ = generator.normal(1.0, 0.18, (GRID, GRID)).astype(np.float32)
        if label:
            row, column = spot(sample["image"])
            y, x = np.mgrid[:GRID, :GRID]
            map_ += float(generator.gamma(2.0, gain / 2)) * np.exp(
                -((y - row * GRID) ** 2 + (x - column * GRID) ** 2) / 5
            ).astype(np.float32)
        split = {"train": "calibration", "reserved": "reserved", "test": "test"}[sample["split"]]
        if sample in drawn:
            split = "drawn"
        worst = np.unravel_index(map_.argmax(), map_.shape)
        rows.append(_score_row(sample, split, float(map_.max()), worst))
        if split == "test":
            names.append(sample["image"])
            maps.append(map_)
            labels.append(label)
    run.score_rows[key] = rows
    run.anomaly_maps[key] = (names, np.stack(maps))
    scores = np.array([map_.max() for map_ in maps])
    truth = np.array(labels)
    pixels = np.concatenate([map_.ravel() for map_ in maps])
    pixel_truth = np.concatenate(
        [_spot_mask(name, GRID).ravel() & label for name, label in zip(names, labels, strict=True)]
    )
    run.curve_rows[key] = [*_curves("image", truth, scores), *_curves("pixel", pixel_truth, pixels)]
    found: dict[str, float] = {}
    for level, labels_, values in (("image", truth, scores), ("pixel", pixel_truth, pixels)):
        precision, recall, _ = precision_recall_curve(labels_, values)
        found[f"{level}_auroc"] = float(roc_auc_score(labels_, values))
        found[f"{level}_ap"] = float(average_precision_score(labels_, values))
        found[f"{level}_f1_max"] = float(
            np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))
        )
    return found


def _score_row(sample: dict[str, Any], split: str, score: float, worst: Any) -> dict[str, Any]:
    kept = {key: sample[key] for key in ("image", "group", "defect_type", "label")}
    state = "present" if sample["label"] else "normal"
    place = {
        "worst_row": int(worst[0]),
        "worst_column": int(worst[1]),
        "nearest_image": "train/good/000.png",
        "nearest_row": 0,
        "nearest_column": 0,
    }
    size = {
        "height": 80,
        "width": 96,
        "resized_height": 64,
        "resized_width": 64,
        "top": 0,
        "left": 0,
        "seconds": 0.01,
    }
    return {
        **kept,
        "split": split,
        "score": score,
        **place,
        "nearest_distance": 1.0,
        "mask_state": state,
        **size,
    }


def _curves(level: str, labels: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    x, y, thresholds = roc_curve(labels, scores)
    rows = [
        {"curve": "roc", "level": level, "x": float(a), "y": float(b), "threshold": float(t)}
        for a, b, t in zip(x, y, thresholds, strict=True)
    ]
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    points = zip(recall[:-1], precision[:-1], thresholds, strict=True)
    return rows + [
        {"curve": "pr", "level": level, "x": float(a), "y": float(b), "threshold": float(t)}
        for a, b, t in points
    ]


def spot(image: str) -> tuple[float, float]:
    """Where an image's defect is, as shares of height and width."""
    generator = np.random.default_rng(list(image.encode()))
    row, column = generator.uniform(0.2, 0.8, 2)
    return float(row), float(column)


def _spot_mask(image: str, size: int) -> np.ndarray:
    row, column = spot(image)
    y, x = np.mgrid[:size, :size]
    inside: np.ndarray = (y - row * size) ** 2 + (x - column * size) ** 2 < (0.13 * size) ** 2
    return inside


def draw_images(run: FabricatedRun, folder: Path, *, height: int = 80, width: int = 96) -> Path:
    """Writes the images and masks of a fabricated run in MVTec layout."""
    for category, samples in run.split_rows.items():
        for sample in samples:
            path = folder / category / sample["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng(list(f"{category}{sample['image']}".encode()))
            picture = Image.fromarray(
                generator.integers(110, 150, (height, width, 3), dtype=np.uint8)
            )
            row, column = spot(sample["image"])
            box = [
                (column - 0.1) * width,
                (row - 0.1) * height,
                (column + 0.1) * width,
                (row + 0.1) * height,
            ]
            if sample["label"]:
                ImageDraw.Draw(picture).ellipse(box, fill=(70, 50, 40))
                mask = Image.new("L", (width, height))
                ImageDraw.Draw(mask).ellipse(box, fill=255)
                target = folder / category / sample["mask"]
                target.parent.mkdir(parents=True, exist_ok=True)
                mask.save(target)
            picture.save(path)
    return folder
