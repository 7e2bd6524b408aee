"""A trial's detector as one file that scores an image without apc-bench (torch.export), what is to
be known of it, and a script that uses it.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apc_bench import __version__
from apc_bench.detectors.standalone import Standalone
from apc_bench.errors import UsageError
from apc_bench.export import score
from apc_bench.export.chosen import ExportedTrials, result_key_of
from apc_bench.export.folder import new_folder
from apc_bench.report.pictures import photos_of
from apc_bench.results.aggregate import TEST, Results, why_undefined
from apc_bench.runner.refit import Refitted, refit
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run

DETECTOR, ABOUT, SCRIPT = "detector.pt2", "about.json", "score.py"

CHECKED = 8
"""Test images at most that the file scores before it is handed out."""

CLOSE = 1e-4
"""Relative difference to the run's scores up to which they count as the same: float32 gives about
a hundredth of that.
"""


def export_detector(
    results: Results, run: Run, trials: ExportedTrials, cache: Cache, data: Path | None, out: Path
) -> Iterator[str]:
    """Writes OUT/detector.pt2, OUT/about.json and OUT/score.py; says what. `data`: the dataset's
    folder.

    Raises UsageError for several categories, for a detector that is more than a memory bank, and
    where `out` holds anything; as `refit` does; StorageError.
    """
    if len(trials.categories) > 1:
        raise UsageError(
            "one detector is of one category: --category takes one of"
            f" {', '.join(trials.categories)}"
        )
    (category,) = trials.categories
    key = result_key_of(results, trials.system, category, trials.seed)
    said: list[str] = []
    with new_folder(out) as folder:
        refitted = refit(run, key, cache, data, say=said.append)
        yield from said
        image_size = int(results.settings["image_size"])
        bank = torch.tensor(refitted.bank.vectors)
        module = Standalone(refitted.backbone, refitted.settings, bank, image_size=image_size)
        about = _about(results, trials, refitted)
        _save(module, image_size, folder / DETECTOR, about)
        written = torch.export.load(folder / DETECTOR).module()
        check = _checked(written, results, run, key, category, data)
        about["check"] = check.told
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (folder / ABOUT).write_text(text + "\n", encoding="utf-8")
        (folder / SCRIPT).write_bytes(Path(score.__file__).read_bytes())
    place = f"{trials.system.label} on {category}, {results.seed_words[0]} {trials.seed}"
    yield f"{place}: memory bank of {len(refitted.bank)} vectors, {refitted.origin}"
    yield check.words
    if refitted.settings.approximate_search is not None:
        yield f"the run searched with {refitted.settings.approximate_search}; the file does exactly"
    if about["threshold"] is None:
        yield f"no threshold: {about['no_threshold']}"
    yield f"detector: {out / DETECTOR}; try `python {out / SCRIPT} PHOTO`"


def _save(module: Standalone, image_size: int, path: Path, about: Mapping[str, Any]) -> None:
    # Two, for what is traced with one image is compiled for one alone.
    images = torch.zeros(2, 3, image_size, image_size, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            module, (images,), dynamic_shapes=({0: torch.export.Dim("images", min=1)},)
        )
        torch.export.save(program, path, extra_files={ABOUT: json.dumps(about)})


def _about(results: Results, trials: ExportedTrials, refitted: Refitted) -> dict[str, Any]:
    """What about.json says, and the file itself holds too."""
    (category,), system, settings = trials.categories, trials.system, results.settings
    row = results.trials[system, category, trials.seed].rows[TEST]
    encoding = results.info.encodings.get(category, {})
    weights = results.info.weights.get(system.method, {})
    return {
        "apc_bench": __version__,
        "torch": torch.__version__,
        "dataset": results.dataset,
        "category": category,
        "system": system.label,
        results.seed_words[0]: trials.seed,
        "backbone": system.backbone,
        "weights": {name: str(weights.get(name)) for name in ("origin", "sha256")},
        "input": {
            "side": int(settings["image_size"]),
            "resize": settings["resize"],
            "interpolation": settings.get("interpolation", "bicubic"),
            "bits": int(encoding.get("bits", 16)),
            "pixels": "RGB, uint8, (n, 3, side, side); score.py makes them from a file",
        },
        "output": {
            "scores": "(n,) float32; larger is more anomalous",
            "maps": "(n, side, side) float32, smoothed as for the pixel metrics",
            "unit": refitted.settings.distance,
        },
        "threshold": row["threshold"],
        "no_threshold": why_undefined(row).get("threshold"),
        "false_alarms": settings["false_alarms"],
        "bank": {"vectors": len(refitted.bank), "origin": refitted.origin},
    }


@dataclass(frozen=True, slots=True)
class _Check:
    """How far the file's scores are from the run's, on so many test images: the largest difference
    as a share of the run's score.
    """

    images: int
    largest: float

    @property
    def told(self) -> dict[str, Any]:
        """For about.json."""
        return {"test_images": self.images, "largest_relative_difference": self.largest}

    @property
    def words(self) -> str:
        """For people."""
        if not self.images:
            return "not checked: no test photo of the run is at hand (--data DIR)"
        told = f"checked: scores of {self.images} test images differ from the run's by at most"
        why = "" if self.largest <= CLOSE else "; other machine or versions than the run's"
        return f"{told} {self.largest:.1e} of the score{why}"


def _checked(
    detector: torch.nn.Module,
    results: Results,
    run: Run,
    key: str,
    category: str,
    data: Path | None,
) -> _Check:
    """Scores some test images with the file as written, evenly over the run's order."""
    table = run.scores(key)
    rows = [row for row in table.iter_rows(named=True) if row["split"] == TEST]
    photos = photos_of(results, run, category, data)
    differences = []
    for row in rows[:: max(1, len(rows) // CHECKED)][:CHECKED]:
        photo = photos.image(row["image"])
        if isinstance(photo, str):
            continue
        pixels = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            found = float(detector(pixels)[0])
        differences.append(abs(found - row["score"]) / max(abs(row["score"]), 1e-12))
    return _Check(len(differences), max(differences, default=0.0))
