"""A trial's result as tables: what was scored becomes rows of scores, maps, metrics, curves and
features (store/schemas.py).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from apc_bench import RESULT_VERSION
from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.split import Split
from apc_bench.detectors.protocol import Fitted, Images, Scored
from apc_bench.metrics.controlled import CALIBRATION, LEARNED, Control
from apc_bench.metrics.evaluation import (
    FULL,
    TEST,
    Evaluated,
    Subset,
    Threshold,
    evaluate,
    windows_of,
)
from apc_bench.plan import Step
from apc_bench.settings.sweep import Sweep
from apc_bench.store.schemas import CURVES, METRICS_TABLE, SCORES, features_schema, maps_schema
from apc_bench.store.trials import TrialResult

FLOAT16_LARGEST = 60000.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What a trial took so far. `started`: on the clock time.perf_counter; `seconds`: by stage;
    peaks in MiB. None is not known, or there was none.
    """

    started: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_finetune: float | None = None
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Measured:
    """All that a trial has measured, before it becomes tables. `tested`: test set and reserve, with
    `scored` in the same order; `calibration_images` and `calibration` likewise; `control`: as
    Controlled.control gives it. `half`: maps are stored as float16; those made elsewhere keep their
    bits. `uncalibrated`: why no image calibrates, where that is known.
    """

    step: Step
    sweep: Sweep
    split: Split
    decoded: Decoded
    fitted: Fitted
    tested: Images
    scored: Scored
    calibration_images: Images
    calibration: Scored
    training: Images
    notes: tuple[str, ...]
    environment: Mapping[str, str]
    costs: Costs
    control: tuple[Images, Scored] | None = None
    half: bool = True
    uncalibrated: str | None = None


def images_of(split: Split, decoded: Decoded, rows: Sequence[int]) -> Images:
    """The images of some rows of a split, by reference."""
    samples = [split.rows[row].sample for row in rows]
    names = tuple(sample.image for sample in samples)
    groups = tuple(sample.group for sample in samples)
    return Images(decoded.images, np.array(rows, np.int64), names, groups)


def tabulate(measured: Measured) -> TrialResult:
    """The trial's tables. Pixel metrics come from the maps as they are stored, so that anyone can
    recompute them.
    """
    maps: NDArray[Any] = measured.scored.maps
    scale = 1.0
    if measured.half:
        maps, scale = to_float16(measured.scored.maps)
    started = time.perf_counter()
    evaluated = _evaluate(measured, maps.astype(np.float32) / scale)
    now = time.perf_counter()
    seconds = {
        **measured.costs.seconds,
        "metrics": now - started,
        "total": now - measured.costs.started,
    }
    height, width = maps.shape[1:]
    metadata = {
        "grid": f"{height}x{width}",
        "scale": repr(scale),
        "unit": measured.fitted.unit,
        "sigma": repr(measured.fitted.sigma),
        "image_size": str(measured.sweep.image_size),
    }
    return TrialResult(
        scores=_scores(measured),
        maps=pa.Table.from_arrays(
            [pa.array(measured.tested.names), _lists(maps.reshape(-1, height * width))],
            schema=maps_schema((height, width), half=measured.half),
        ),
        map_metadata=metadata,
        curves=pa.Table.from_pylist(evaluated[TEST].curves, CURVES),
        metrics=_metrics(measured, evaluated, seconds),
        features=_features(measured) if measured.sweep.features != "none" else None,
    )


def _lists(rows: NDArray[Any]) -> pa.FixedSizeListArray:
    """(n, width) -> n lists of fixed size."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def to_float16(maps: NDArray[np.float32]) -> tuple[NDArray[np.float16], float]:
    """Maps as float16, times a power of two where they would overflow or lose their small values:
    (stored, scale), stored = maps × scale. Raises ValueError where they are not finite.
    """
    largest = float(np.abs(maps).max(initial=0.0))
    if not np.isfinite(largest):
        raise ValueError("an anomaly map holds values that are not finite")
    scale = 1.0
    if largest != 0 and not 1.0 <= largest <= FLOAT16_LARGEST:
        scale = float(2.0 ** np.floor(np.log2(FLOAT16_LARGEST / largest)))
    return (maps * np.float32(scale)).astype(np.float16), scale


def _evaluate(measured: Measured, maps: NDArray[np.float32]) -> dict[str, Evaluated]:
    """The metrics of the test set, of each defect type in it, and for a frozen detector of the full
    test set, reserve included.
    """
    rows = measured.tested.rows
    samples = [measured.split.rows[row].sample for row in rows]
    label = np.array([sample.anomalous for sample in samples])
    kind = np.array([sample.defect_type for sample in samples])
    test = np.array([measured.split.rows[row].split == "test" for row in rows])
    subset = Subset(
        scores=measured.scored.scores.astype(np.float64),
        labels=label,
        maps=maps,
        masks=measured.decoded.masks[rows],
        mask_state=measured.decoded.mask_state[rows],
        windows=windows_of(measured.decoded.placement[rows], measured.sweep.image_size),
        image_size=measured.sweep.image_size,
        sigma=measured.fitted.sigma,
    )
    threshold = Threshold(
        measured.calibration.scores.astype(np.float64),
        measured.sweep.false_alarms,
        measured.uncalibrated,
        _control(measured),
    )
    evaluated = {TEST: evaluate(subset.where(test), threshold, curves=True)}
    if not measured.step.settings.settings.learns_from_anomalous:
        evaluated[FULL] = evaluate(subset, threshold)
    for name in sorted({str(name) for name in kind[test & label]}):
        evaluated[f"type:{name}"] = evaluate(
            subset.where(test & (~label | (kind == name))), threshold, pixels=False
        )
    return evaluated


def _control(measured: Measured) -> Control | None:
    """Of the distances that are stored beside the scores, so that anyone can set the threshold."""
    known = measured.calibration.nearest_distance
    learned = measured.control[1].nearest_distance if measured.control else None
    if known is None or learned is None:
        return None
    return Control(known.astype(np.float64), learned.astype(np.float64))


def _scores(measured: Measured) -> pa.Table:
    """One row an image: of the test set and the reserve, of the calibration, then of the normal
    images that were learned from.
    """
    drawn = set(measured.split.drawn(measured.step.shots))
    parts = [(CALIBRATION, measured.calibration_images, measured.calibration)]
    if measured.control:
        parts.append((LEARNED, *measured.control))
    images = len(measured.tested) + sum(len(of_part) for _, of_part, _ in parts)
    seconds = measured.costs.seconds.get("search", float("nan")) / max(1, images)
    rows = []
    for position, row in enumerate(measured.tested.rows):
        split = "drawn" if row in drawn else measured.split.rows[row].split
        entry = _score_row(measured, int(row), measured.scored, position)
        rows.append({**entry, "split": split, "seconds": seconds})
    for split, of_part, scored in parts:
        for position, row in enumerate(of_part.rows):
            entry = _score_row(measured, int(row), scored, position)
            rows.append({**entry, "split": split, "seconds": seconds})
            if split == LEARNED and np.isnan(entry["score"]):
                rows[-1]["score"] = None
    return pa.Table.from_pylist(rows, SCORES)


def _score_row(measured: Measured, row: int, scored: Scored, position: int) -> dict[str, Any]:
    """What is known of the image in `row` of the split, which stands at `position` in `scored`."""
    sample = measured.split.rows[row].sample
    names = ("height", "width", "resized_height", "resized_width", "top", "left")
    placement = zip(names, measured.decoded.placement[row], strict=True)
    return {
        "image": sample.image,
        "group": sample.group,
        "defect_type": sample.defect_type,
        "label": sample.anomalous,
        "score": float(scored.scores[position]),
        "worst_row": int(scored.worst[position, 0]),
        "worst_column": int(scored.worst[position, 1]),
        **_nearest(measured, scored, position),
        "mask_state": str(measured.decoded.mask_state[row]),
        **{name: int(value) for name, value in placement},
    }


def _nearest(measured: Measured, scored: Scored, position: int) -> dict[str, Any]:
    """Which normal patch the worst patch was compared with: its image and place on the grid."""
    if scored.nearest is None or scored.nearest_distance is None:
        return {}
    image, row, column = (int(value) for value in scored.nearest[position])
    return {
        "nearest_image": measured.training.names[image],
        "nearest_row": row,
        "nearest_column": column,
        "nearest_distance": float(scored.nearest_distance[position]),
    }


def _metrics(
    measured: Measured, evaluated: Mapping[str, Evaluated], seconds: Mapping[str, float]
) -> pa.Table:
    """One row a subset: what the trial is and took, beside the subset's counts and metrics."""
    step, sweep, costs = measured.step, measured.sweep, measured.costs
    bank = measured.fitted.bank
    learned = len(measured.control[0]) if measured.control else 0
    common = {
        "result_key": step.result_key,
        "trial_id": step.trial_id,
        "dataset": step.dataset,
        "category": step.category,
        "method": step.method,
        "shots": step.shots,
        "seed": step.seed,
        "calibration_images": len(measured.calibration_images) + learned,
        "false_alarms_allowed": sweep.false_alarms,
        "training_images": len(measured.training),
        "bank_vectors": len(bank.vectors) if bank is not None else None,
        **{f"seconds_{stage}": value for stage, value in seconds.items()},
        "seconds_finetune": costs.seconds_finetune,
        "peak_memory_mib": costs.peak_memory_mib,
        "peak_gpu_memory_mib": costs.peak_gpu_memory_mib,
        "device": measured.environment["device"],
        "threads": sweep.threads,
        "precision": sweep.precision,
        "result_version": RESULT_VERSION,
        "notes": list(measured.notes),
    }
    rows = []
    for name, result in evaluated.items():
        undefined = list(result.undefined.items())
        own = {"subset": name, **result.counts, **result.values, "undefined": undefined}
        rows.append({**common, **own})
    return pa.Table.from_pylist(rows, METRICS_TABLE)


def _features(measured: Measured) -> pa.Table | None:
    """The memory bank, one row per vector, with the training image and patch that it came from."""
    bank = measured.fitted.bank
    if bank is None:
        return None
    vectors = bank.vectors.cpu().numpy()
    names = [measured.training.names[int(image)] for image in bank.image]
    columns = [
        pa.array(names),
        pa.array(bank.row.numpy()),
        pa.array(bank.column.numpy()),
        pa.array(["train"] * len(names)),
        _lists(vectors),
    ]
    return pa.Table.from_arrays(columns, schema=features_schema(vectors.shape[1]))
