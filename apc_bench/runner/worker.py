"""What one worker does: fine-tune an extractor, or score a trial. Knows nothing of Ray, of other
steps, or of retries.
"""

import gc
import hashlib
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.hold_out import nothing_to_hold_out
from apc_bench.datasets.samples import Category
from apc_bench.datasets.split import check_leaks
from apc_bench.detectors.protocol import Controlled, Detector, Fitted, Images, Scored, Training
from apc_bench.detectors.registry import detector_class
from apc_bench.errors import ApcError, StorageError, TakenOver, WeightsError
from apc_bench.files.hashing import digest
from apc_bench.networks.progress import Progress
from apc_bench.networks.weights import resolve
from apc_bench.plan import EXTRACTOR, Step
from apc_bench.runner.messages import Outcome, SweepContext, attempted
from apc_bench.runner.process import load_libraries, set_determinism
from apc_bench.runner.reporting import Reporter
from apc_bench.runner.tabulate import Costs, Measured, images_of, tabulate
from apc_bench.runner.time_limit import time_limit
from apc_bench.store import attempts
from apc_bench.store.cache import Cache
from apc_bench.store.cache_use import in_use
from apc_bench.store.decoded import decoded, memo_array
from apc_bench.store.info import is_run
from apc_bench.store.run import Run


def perform(step: Step, context: SweepContext) -> Outcome:
    """Does one step and records its start and end. Never raises: a failed step is an outcome with
    its reason.
    """
    started = time.perf_counter()
    run = Run(context.run, context.holding)
    event, outcome = _attempt(step, context, run)
    _release_memory(context)
    outcome = replace(outcome, seconds=time.perf_counter() - started)
    try:
        attempts.record(
            run.attempts_folder,
            event,
            **attempted(step),
            seconds=outcome.seconds,
            reason=outcome.reason,
            traceback=outcome.traceback,
        )
    except StorageError as error:
        return Outcome(False, outcome.seconds, str(error), fatal=True, recorded=False)
    return outcome


def _attempt(step: Step, context: SweepContext, run: Run) -> tuple[str, Outcome]:
    """Does the step: the event that ends it in the attempts log, and its outcome."""
    do = fit_extractor if step.kind == EXTRACTOR else score_trial
    try:
        _check_reach(context)
        attempts.record(run.attempts_folder, attempts.START, **attempted(step))
        sweep = context.sweep
        # The driver's claim is not seen on a node that has a cache folder of its own.
        with in_use(context.cache), Reporter(run.attempts_folder, step.result_key) as progress:
            set_determinism(sweep.device, threads=sweep.threads, seed=seed_of(step))
            started = time.perf_counter()
            load_libraries(step.settings.detector, trains=step.kind == EXTRACTOR)
            loading = time.perf_counter() - started
            with time_limit(context.step_timeout, context.note_of_time_limit(step.result_key)):
                do(step, context, run, progress)
    except TakenOver as error:
        return attempts.LOST, Outcome(False, 0.0, str(error))
    except ApcError as error:
        fatal = isinstance(error, StorageError)
        return attempts.FAILED, Outcome(False, 0.0, str(error), fatal=fatal)
    except torch.OutOfMemoryError as error:
        reason = (
            f"out of GPU memory ({str(error).splitlines()[0][:160]}); a smaller image size or batch"
            " needs less"
        )
        return attempts.FAILED, Outcome(False, 0.0, reason, wants_whole_gpu=True)
    except Exception as error:  # the seam: a bug in one step must not end the others
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return attempts.FAILED, Outcome(False, 0.0, reason, traceback.format_exc())
    return attempts.DONE, Outcome(True, 0.0, loading=loading)


def fit_extractor(step: Step, context: SweepContext, run: Run, progress: Reporter) -> None:
    """Fine-tunes and stores the extractor with its training curves."""
    inputs = Inputs(step, context, run, progress)
    detector = inputs.detector()
    progress("training")
    started = time.perf_counter()
    trained = detector.train(inputs.training())
    seconds = time.perf_counter() - started
    metadata = {"seconds": repr(seconds), "notes": "\n".join(trained.notes)}
    run.extractors.write(step, trained.weights, trained.curves, metadata)


def score_trial(step: Step, context: SweepContext, run: Run, progress: Reporter) -> None:
    """Fits a detector to normal images, scores test set, reserve and calibration, evaluates, and
    stores it all.
    """
    _reset_peak_memory()
    started = time.perf_counter()
    inputs = Inputs(step, context, run, progress)
    decoded_at = time.perf_counter()
    progress("fitting")
    extractor = run.extractors.read(step.needs) if step.needs else None
    metadata: Mapping[str, str] = extractor.metadata if extractor else {}
    fitted = inputs.detector().fit(inputs.training(), extractor.weights if extractor else None)
    fitted_at = time.perf_counter()
    tested = inputs.images([*inputs.split.where("test"), *inputs.split.where("reserved")])
    progress("scoring")
    scored = fitted.score(tested)
    progress("calibration")
    calibration_images, calibration = fitted.calibrate()
    control = _control(fitted) if step.settings.settings.controlled else None
    progress("metrics")
    seconds = {
        "decode": decoded_at - started,
        "features": fitted.timings.features,
        "bank": fitted.timings.bank,
        "search": time.perf_counter() - fitted_at,
    }
    notes = [*fitted.notes, *_recall(fitted), *metadata.get("notes", "").split("\n")]
    measured = Measured(
        step=step,
        sweep=context.sweep,
        split=inputs.split,
        decoded=inputs.decoded,
        fitted=fitted,
        tested=tested,
        scored=scored,
        calibration_images=calibration_images,
        calibration=calibration,
        control=control,
        training=inputs.training().normal,
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        environment=context.environment,
        costs=_costs(started, seconds, metadata, context),
        uncalibrated=nothing_to_hold_out(inputs.split.samples),
    )
    run.trials.write(step, tabulate(measured))


def _control(fitted: Fitted) -> tuple[Images, Scored]:
    assert isinstance(fitted, Controlled)
    return fitted.control()


def _recall(fitted: Fitted) -> list[str]:
    """What a reader must know of an approximate search."""
    recall = fitted.bank.recall if fitted.bank is not None else None
    return [recall.note] if recall is not None and recall.sampled else []


def _costs(
    started: float,
    seconds: Mapping[str, float],
    metadata: Mapping[str, str],
    context: SweepContext,
) -> Costs:
    """A trial's, and of the extractor whose metadata these are its fine-tuning's."""
    on_gpu = context.sweep.device == "cuda"
    return Costs(
        started=started,
        seconds=seconds,
        seconds_finetune=float(metadata["seconds"]) if "seconds" in metadata else None,
        peak_memory_mib=_peak_memory_mib(),
        peak_gpu_memory_mib=torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
    )


class Inputs:
    """A step's inputs: the stored split, checked for leaks, and the decoded images."""

    def __init__(self, step: Step, context: SweepContext, run: Run, progress: Progress) -> None:
        self.step, self.context, self.progress = step, context, progress
        progress("reading images", 0, 0)
        self.split = run.splits.read(step.dataset, step.category, step.seed)
        check_leaks(self.split)
        samples = tuple(row.sample for row in self.split.rows)
        folder, encoding = context.data / step.category, context.encodings[step.category]
        category = Category(step.category, folder, samples, encoding)
        self.cache = Cache(context.cache)
        geometry = Geometry.of(context.sweep)
        self.fingerprint = context.fingerprints[step.category]
        self.decoded: Decoded = decoded(
            self.cache, category, self.fingerprint, geometry, threads=context.sweep.threads
        )

    def detector(self) -> Detector:
        """The step's detector with its weights, which must be the planned ones on this machine
        too.
        """
        method = self.step.settings
        weights = resolve(method.backbone, file=method.weights, cache=self.context.cache)
        if weights.sha256 != self.context.weights[self.step.method]:
            raise WeightsError(
                f"{weights.path} on {socket.gethostname()} has other content than the weights that"
                " were planned with"
            )
        return detector_class(method.detector)(method, weights.path, weights.sha256)

    def images(self, rows: list[int]) -> Images:
        """The images of some rows of the split."""
        return images_of(self.split, self.decoded, rows)

    def training(self) -> Training:
        """What the detector may learn from. Only where its settings say so are images held out."""
        sweep = self.context.sweep
        holds_out = self.step.settings.settings.holds_out
        normal = self.split.where("train")
        held_out = [row for row in normal if holds_out and self.split.rows[row].held_out]
        learnable = [row for row in normal if not (holds_out and self.split.rows[row].held_out)]
        drawn = self.split.drawn(self.step.shots)
        return Training(
            normal=self.images(normal),
            learnable=self.images(learnable),
            calibration=self.images(held_out) if holds_out else None,
            anomalous=self.images(drawn),
            masks=self.decoded.masks[drawn],
            masked=self.decoded.mask_state[drawn] == "present",
            seed=seed_of(self.step),
            device=sweep.device,
            mixed_precision=sweep.precision == "bfloat16",
            memo=self._memo,
            progress=self.progress,
        )

    def _memo(self, key: str, shape: tuple[int, ...], fill: object) -> NDArray[np.float32] | None:
        geometry = astuple(Geometry.of(self.context.sweep))
        whole = digest([key, self.fingerprint, geometry, dict(self.context.environment)])
        return memo_array(self.cache, whole, shape, fill)  # type: ignore[arg-type]


def seed_of(step: Step) -> int:
    """The seed of all random numbers of a step: the same for every method, so that methods are
    compared on the same draws.
    """
    name = f"{step.dataset}\x1f{step.category}\x1f{step.seed}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


def _check_reach(context: SweepContext) -> None:
    """On a node without the shared folder a step would do its work into a folder of that node's
    own, where nobody finds it.
    """
    if not is_run(context.run):
        raise StorageError(
            f"{socket.gethostname()} cannot reach the run folder {context.run}; every node must see"
            " it under this name"
        )


def _release_memory(context: SweepContext) -> None:
    """Workers are used again: what this step left on the GPU is given back for those beside it."""
    if context.sweep.device == "cuda" and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _reset_peak_memory() -> None:
    """Starts the kernel's high-water mark anew, since workers are reused; where that is not
    allowed, the mark is the process's.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_mib() -> float | None:
    """This process's high-water mark; None where the kernel does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return None
