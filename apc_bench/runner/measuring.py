"""Measures what a method's work takes on this machine: its detector really trains, fits and scores,
on a few images and for a few steps.
"""

import math
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from apc_bench.bank.coreset import compared, greedy_coreset
from apc_bench.bank.holes import closing
from apc_bench.bank.memory_bank import ORIGIN, MemoryBank
from apc_bench.detectors.patch_examples import STAGE as LEARNED_FROM
from apc_bench.detectors.protocol import Detector, Fitted, Scored, Trained, Training
from apc_bench.detectors.registry import detector_class
from apc_bench.errors import ResourceError
from apc_bench.files.hashing import digest
from apc_bench.metrics.evaluation import Subset, Threshold, evaluate, windows_of
from apc_bench.networks.progress import Progress
from apc_bench.networks.timm_models import build
from apc_bench.plan import image_macs, images_in_views, learned_macs
from apc_bench.runner.examples import Pictures
from apc_bench.runner.process import load_libraries, set_determinism
from apc_bench.runner.rates import STEPS_OF, BankRates, Rates, bank_size
from apc_bench.runner.stopwatch import Stopwatch, Ticks
from apc_bench.settings.backbones import BACKBONES, is_timm
from apc_bench.settings.detectors import (
    ApcPlusSettings,
    DetectorSettings,
    PatchCoreSettings,
    PRNetSettings,
)
from apc_bench.settings.search import EXACT
from apc_bench.settings.sweep import Method, Sweep

COUNTED = ("steps", "classifier_steps")
"""Settings that count the steps of a training."""

FEW = {"cpu": 4, "cuda": 38}
"""Steps of the training that is measured. The first ones on a GPU are recorded, and all others
replayed.
"""

HEAVY, FEWEST, SMALL_BATCH = 2e9, 2, 4
"""Multiply-accumulates of an image that is learned from, from which on a CPU measures fewer steps,
of a small batch, and multiplies: those of a ResNet-50 at 224 pixels else take minutes.
"""

IMAGES = {"cpu": (4, 16), "cuda": (32, 32)}
"""Fewest and most images that are worked on; on a CPU as many as take about MACS."""
MACS = 8e9

POINTS = 16384
"""Vectors of the largest coreset and bank that are measured; larger ones are scaled from there."""


class Measuring:
    """Measures the methods of a sweep, each kind of work once.

    `normal`: normal training images of the category that has most. Threads and device of this
    process become those of the sweep's steps: raises ResourceError where torch cannot use the
    device.
    """

    def __init__(self, sweep: Sweep, pictures: Pictures, normal: int) -> None:
        set_determinism(sweep.device, threads=sweep.threads, seed=0)
        self.sweep, self.pictures, self.normal = sweep, pictures, normal
        self.watch = Stopwatch(sweep)
        self.remembered: dict[str, tuple[float, NDArray[np.float32]]] = {}
        self._known: dict[str, Rates] = {}

    def rates(self, method: Method, weights: Path | None) -> Rates:
        """Of a method; `weights`: its file, None for weights at random. Raises what its detector
        raises, and ResourceError where the GPU has too little memory.
        """
        settings = method.settings.identity()
        kind = {name: value for name, value in settings.items() if name not in COUNTED}
        key = digest([method.detector, method.backbone, kind])
        if key not in self._known:
            load_libraries(method.detector, trains=method.settings.trains)
            with tempfile.TemporaryDirectory() as folder:
                path = weights or random_weights(method.backbone, Path(folder))
                try:
                    self._known[key] = _Measured(self, method, path, Path(folder)).rates()
                except torch.OutOfMemoryError:
                    raise ResourceError("the GPU has too little memory left") from None
        return self._known[key]


class _Measured:
    """One method's measurement, with the file of its backbone's weights and a folder for what is
    trained.
    """

    def __init__(self, shared: Measuring, method: Method, weights: Path, folder: Path) -> None:
        self.sweep, self.watch, self.shared = shared.sweep, shared.watch, shared
        self.method, self.weights, self.folder = method, weights, folder
        least, most = IMAGES[shared.sweep.device]
        few = 4 * int(MACS / image_macs(shared.sweep, method) / 4)
        self.examples = shared.pictures.examples(min(max(few, least), most))
        self.used: set[str] = set()

    def rates(self) -> Rates:
        """Of the training, where there is one, and of the trial."""
        rates, trained = Rates(), None
        if self.method.settings.trains:
            rates, content = self._trained()
            trained = self.folder / "trained.safetensors"
            trained.write_bytes(content.weights)
        return self._fitted(rates, trained)

    def _trained(self) -> tuple[Rates, Trained]:
        """Rates of the training, from when it says that a step is done."""
        settings, device = self.method.settings, self.sweep.device
        batch: int = getattr(settings, "batch", SMALL_BATCH)
        few = dict.fromkeys((name for name in COUNTED if name in settings.training()), FEW[device])
        heavy = device == "cpu" and learned_macs(self.sweep, self.method) > HEAVY
        if heavy and "steps" in few:
            few |= {"steps": FEWEST, "batch": SMALL_BATCH}
        ticks = Ticks(self.watch, (*STEPS_OF, LEARNED_FROM))
        seconds, trained = self.watch.seconds(
            lambda: self._train(settings.model_copy(update=few), ticks)
        )
        steps = {}
        for stage, name in STEPS_OF.items():
            if spent := ticks.seconds[stage]:
                steps[name] = statistics.median(spent[1:] or spent)
                seconds -= steps[name] * len(spent)
        if heavy and "steps" in steps:
            steps["steps"] *= batch / SMALL_BATCH
        views = math.fsum(ticks.seconds[LEARNED_FROM])
        in_view = 0.0
        if isinstance(settings, ApcPlusSettings) and settings.classifies:
            in_view = views / max(1, images_in_views(settings, len(self.examples.anomalous)))
        return Rates(training=max(0.0, seconds - views), in_view=in_view, steps=steps), trained

    def _train(self, settings: DetectorSettings, progress: Progress) -> Trained:
        data = self._data(len(self.examples) // 2)
        return self._detector(settings).train(replace(data, progress=progress))

    def _fitted(self, rates: Rates, trained: Path | None) -> Rates:
        """These rates with those of the trial."""

        def fit(normal: int) -> Fitted:
            return self._detector(self.method.settings).fit(self._data(normal), trained)

        whole = len(self.examples)
        fewer, _ = self.watch.steady(lambda: fit(whole // 4))
        more, fitted = self.watch.steady(lambda: fit(whole // 2))
        each = min(max(0.0, more - fewer), fewer) / (whole // 4)
        scoring, scored = self.watch.steady(lambda: fitted.score(self.examples.images))
        metrics, _ = self.watch.steady(lambda: self._evaluate(fitted, scored))
        # PRNet's prototypes are made of all normal images' features.
        reads_all = isinstance(self.method.settings, PRNetSettings)
        return replace(
            rates,
            training_image=scoring / whole if reads_all else 0.0,
            fitting=max(0.0, fewer - each * (whole // 4)),
            fitting_image=each,
            scoring_image=scoring / whole,
            metrics_image=metrics / whole,
            remembered={key: self.shared.remembered[key][0] for key in sorted(self.used)},
            bank=self._bank(fitted, scored),
        )

    def _evaluate(self, fitted: Fitted, scored: Scored) -> None:
        decoded, size = self.examples.decoded, self.sweep.image_size
        labels = np.zeros(len(self.examples), bool)
        labels[self.examples.anomalous] = True
        subset = Subset(
            scores=scored.scores.astype(np.float64),
            labels=labels,
            maps=scored.maps,
            masks=decoded.masks,
            mask_state=decoded.mask_state,
            windows=windows_of(decoded.placement, size),
            image_size=size,
            sigma=fitted.sigma,
        )
        threshold = Threshold(subset.scores[~labels], self.sweep.false_alarms)
        evaluate(subset, threshold, curves=True)

    def _bank(self, fitted: Fitted, scored: Scored) -> BankRates | None:
        """Rates of a bank of the planned size, as far as POINTS, filled between the vectors that
        there are.
        """
        settings = self.method.settings
        if fitted.bank is None or not isinstance(settings, PatchCoreSettings):
            return None
        patches = scored.maps[0].size
        planned, kept = bank_size(self.shared.normal, patches, settings)
        points = between(fitted.bank.vectors, min(planned, POINTS))
        count = max(1, kept * len(points) // planned)
        picking, picks = self.watch.steady(lambda: self._pick(points, count, settings))
        closing_in, _ = self.watch.steady(lambda: self._close(points, picks, settings))
        vectors = between(fitted.bank.vectors, min(kept, POINTS))
        making, bank = self.watch.steady(lambda: _bank_of(vectors))
        queries = points[:patches]
        searching, _ = self.watch.steady(lambda: bank.nearest(queries))
        return BankRates(
            patches=patches,
            pairs=len(points) * count,
            picking=picking,
            closing=closing_in / (len(points) * len(picks)),
            vector=making / len(vectors),
            pair=searching / (len(queries) * len(vectors)),
        )

    def _pick(self, points: torch.Tensor, count: int, settings: PatchCoreSettings) -> torch.Tensor:
        return greedy_coreset(
            points,
            count,
            projection_dim=settings.projection_dim,
            starting_points=settings.starting_points,
            seed=0,
        )

    def _close(
        self, points: torch.Tensor, picks: torch.Tensor, settings: PatchCoreSettings
    ) -> None:
        space = compared(points, settings.projection_dim, seed=0)
        one_group = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        closing(space, picks.to(points.device), one_group, [0])

    def _detector(self, settings: DetectorSettings) -> Detector:
        if isinstance(settings, PatchCoreSettings):
            # A few images fill no index of many lists: the exact search stands for it.
            settings = settings.model_copy(update={"search": EXACT})
        method = self.method.model_copy(update={"settings": settings})
        sha256 = f"{method.backbone} of {self.weights.name}"
        return detector_class(method.detector)(method, self.weights, sha256)

    def _data(self, normal: int) -> Training:
        tuned = self.method.settings.holds_out
        return self.examples.training(normal, self.sweep, self._memo, fine_tuned=tuned)

    def _memo(self, key: str, shape: tuple[int, ...], fill: Any) -> NDArray[np.float32]:
        """Features of the examples, filled once for all methods, and apart from what needs them."""
        self.used.add(key)
        known = self.shared.remembered
        if key not in known:
            out = np.zeros(shape, np.float32)
            seconds, _ = self.watch.apart(lambda: fill(out))
            known[key] = seconds / len(out), out
        return known[key][1]


def random_weights(backbone: str, folder: Path) -> Path:
    """A file of random weights of a backbone in `folder`: they take the same time as its own."""
    path = folder / "random.pth"
    if is_timm(backbone):
        torch.save(build(backbone).state_dict(), path)
        return path
    spec = BACKBONES[backbone]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = resolve_name(spec.network)().state_dict()
    torch.save(
        {spec.key_prefix + key: value for key, value in state.items() if key[:3] != "fc."}, path
    )
    return path


def between(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """`count` vectors (count, d) at random places between two of `vectors` (m, d) each."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(len(vectors), (2, count), generator=generator).to(vectors.device)
    share = torch.rand(count, 1, generator=generator).to(vectors.device)
    return torch.lerp(vectors[pairs[0]], vectors[pairs[1]], share)


def _bank_of(vectors: torch.Tensor) -> MemoryBank:
    places = {name: torch.zeros(len(vectors), dtype=dtype) for name, dtype in ORIGIN.items()}
    places["group"] = places["group"].to(vectors.device)
    return MemoryBank(vectors=vectors, search=None, **places)
