"""A trial's detector again, from its run: the fine-tuned extractor that the run keeps, and the
memory bank, kept or filled once more from the training images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.registry import OWN
from apc_bench.errors import DataError, UsageError, WeightsError
from apc_bench.networks.backbones import Backbone
from apc_bench.networks.progress import untold
from apc_bench.networks.weights import resolve
from apc_bench.plan import TRIAL, Step
from apc_bench.runner.messages import SweepContext
from apc_bench.runner.prepare import prepare
from apc_bench.runner.process import set_determinism
from apc_bench.runner.worker import Inputs, seed_of
from apc_bench.settings.detectors import PatchCoreSettings
from apc_bench.settings.sweep import Sweep
from apc_bench.store.cache import Cache
from apc_bench.store.cache_use import in_use
from apc_bench.store.provenance import gpu_names
from apc_bench.store.run import Run
from apc_bench.store.trials import StoredBank
from apc_bench.wording import counted

REFITTED = ("patchcore", "apc")
"""Detectors whose scores are distances to a memory bank, and nothing beside."""

KEPT = "kept by the run"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """What scores an image: a backbone on the CPU, the settings of its patch features and
    distances, and the bank. `origin`: where the bank comes from, in words.
    """

    backbone: Backbone
    settings: PatchCoreSettings
    bank: StoredBank
    origin: str


def refit(run: Run, result_key: str, cache: Cache, data: Path | None, *, say: Say) -> Refitted:
    """The detector of a trial of the run. `data`: the dataset's folder, where the run did not keep
    the bank.

    Raises UsageError for a detector that is more than a bank, DataError where the photos are not at
    hand or not those of the run, WeightsError likewise, DamagedFile.
    """
    sweep = Sweep.model_validate(run.info.settings)
    step = _step(run, sweep, result_key)
    detector = _detector(step, run, cache)
    kept = run.bank(result_key)
    if kept is not None:
        extractor = run.extractors.read(step.needs).weights if step.needs else None
        backbone = detector.extractor(extractor).eval()
        return Refitted(backbone, detector.settings, kept, KEPT)
    say(f"the run did not keep its memory banks (--features bank): filling that of {step.category}")
    with in_use(cache.folder):
        return _filled(detector, step, _context(run, sweep, step, cache, data, say=say), run)


def bank_of(
    run: Run, result_key: str, cache: Cache, data: Path | None, *, say: Say
) -> tuple[StoredBank, str]:
    """The memory bank of a trial of the run, and where it comes from, in words: of any detector
    where the run kept it. Raises as `refit`.
    """
    kept = run.bank(result_key)
    if kept is not None:
        return kept, KEPT
    step = _step(run, Sweep.model_validate(run.info.settings), result_key)
    if step.settings.detector not in REFITTED:
        raise UsageError(
            f"'{step.method}' ({step.settings.detector}): the run kept no memory bank of it"
            f" (--features bank), and only those of {' and '.join(REFITTED)} can be filled again"
        )
    refitted = refit(run, result_key, cache, data, say=say)
    return refitted.bank, refitted.origin


def _filled(detector: PatchCore, step: Step, context: SweepContext, run: Run) -> Refitted:
    """With its bank filled from the training images, as the worker did."""
    sweep = context.sweep
    set_determinism(sweep.device, threads=sweep.threads, seed=seed_of(step))
    training = Inputs(step, context, run, untold).training()
    training = replace(training, calibration=training.normal.at([]))  # nobody calibrates
    extractor = run.extractors.read(step.needs).weights if step.needs else None
    fitted = detector.fit(training, extractor)
    assert fitted.bank is not None
    places = fitted.bank.places(torch.arange(len(fitted.bank))).numpy()
    bank = StoredBank(
        fitted.bank.vectors.cpu().numpy(),
        tuple(training.normal.names[image] for image in places[:, 0]),
        places[:, 1].astype(np.int16),
        places[:, 2].astype(np.int16),
    )
    origin = f"filled again from {counted(len(training.normal), 'training image')}"
    return Refitted(detector.backbone.cpu(), detector.settings, bank, origin)


def _step(run: Run, sweep: Sweep, result_key: str) -> Step:
    """The trial of that key, as it was planned."""
    row = run.planned.row(result_key)
    names = ("trial_id", "result_key", "dataset", "category", "method", "shots", "seed", "needs")
    settings = sweep.methods[row["method"]]
    return Step(TRIAL, **{name: row[name] for name in names}, settings=settings, macs=0.0)


def _detector(step: Step, run: Run, cache: Cache) -> PatchCore:
    """With the weights that the run had."""
    method = step.settings
    if method.detector not in REFITTED:
        raise UsageError(
            f"'{step.method}' ({method.detector}) is more than a memory bank, and cannot be taken"
            f" along as one file; {' and '.join(REFITTED)} can"
        )
    weights = resolve(method.backbone, file=method.weights, cache=cache.folder)
    if weights.sha256 != run.info.weights[step.method]["sha256"]:
        raise WeightsError(f"{weights.path} has other content than the weights of the run")
    detector = OWN[method.detector](method, weights.path, weights.sha256)
    assert isinstance(detector, PatchCore)
    return detector


def _context(
    run: Run, sweep: Sweep, step: Step, cache: Cache, data: Path | None, *, say: Say
) -> SweepContext:
    """What the worker had, with the photos as they are now, which must be those of the run."""
    if data is None or not (data / step.category).is_dir():
        where = f"not in {data}" if data else "not known to the run"
        raise DataError(
            f"the training photos of '{step.category}' are {where}, and the memory bank is filled"
            " from them; --data DIR names the dataset's folder"
        )
    changes: dict[str, Any] = {"categories": (step.category,), "only": (step.method,)}
    if sweep.device == "cuda" and not gpu_names():
        say("the run was made on a GPU, and here is none: scores will differ a little from its own")
        changes |= {"device": "auto", "precision": "auto"}
    prepared = prepare(sweep.model_copy(update=changes), data, cache, say=lambda line: None)
    if prepared.fingerprints[step.category] != run.info.fingerprints.get(step.category):
        raise DataError(
            f"the photos or masks of '{step.category}' in {data} are not those that the run was"
            " made with; --data DIR names another folder"
        )
    return prepared.context(run.path, cache)
