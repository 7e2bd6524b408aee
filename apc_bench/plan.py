"""From settings and datasets to steps: pure data, no torch, no files. A sweep is this list minus
what the run folder already has.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Any

from apc_bench.datasets.hold_out import teaches_normality
from apc_bench.datasets.samples import Category
from apc_bench.datasets.split import Split
from apc_bench.files.hashing import digest
from apc_bench.settings.backbones import gmacs
from apc_bench.settings.detectors import ApcPlusSettings, ApcSettings, PatchCoreSettings
from apc_bench.settings.protocols import seed_words_of
from apc_bench.settings.sweep import Method, Sweep
from apc_bench.wording import counted

EXTRACTOR = "extractor"
TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work with its two ids (docs/architecture.md, "Two steps, two ids").

    kind: 'extractor' fine-tunes, 'trial' scores. `needs`: the result_key of the extractor that a
    trial waits for. `shots` is 0 for a frozen detector. `macs`: about how many multiply-accumulates
    it takes, to order steps and to estimate time. `seed_word`: what the seed is to a reader.
    """

    kind: str
    trial_id: str
    result_key: str
    dataset: str
    category: str
    method: str
    shots: int
    seed: int
    needs: str | None
    settings: Method
    macs: float
    seed_word: str = "seed"

    @property
    def name(self) -> str:
        """`apc · washer · 5 shots · seed 0`, for people."""
        shots = f" · {counted(self.shots, 'shot')}" if self.shots else ""
        return (
            f"{'fine-tune' if self.kind == EXTRACTOR else 'score'} {self.method} ·"
            f" {self.category}{shots} · {self.seed_word} {self.seed}"
        )


@dataclass(frozen=True)
class Planned:
    """What planning knows of a category: its samples, the fingerprint of their content, one split
    per seed.
    """

    category: Category
    fingerprint: str
    splits: Mapping[int, Split]

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """How many images there are, and how many of them are normal training images."""
        samples = self.category.samples
        return len(samples), sum(map(teaches_normality, samples))


def make_plan(
    sweep: Sweep,
    dataset: str,
    categories: Sequence[Planned],
    weights: Mapping[str, str],
    environment: Mapping[str, str],
    networks: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Step, ...]:
    """Category × method × shots × seed as steps, fine-tunings first, large ones before small ones.

    `weights`: method -> sha256 of its weights. `environment`: what decides bits
    (store/provenance.py). `networks`: method -> what beside its weights decides the features of a
    backbone that is not our own (networks/weights.py, Network). A frozen detector has one trial per
    category and seed for all shot counts. Methods that differ only in their memory bank share one
    fine-tuning.
    """
    planner = _Planner(sweep, dataset, weights, environment, networks or {})
    steps: dict[str, Step] = {}
    for planned in categories:
        for name, method in sweep.chosen.items():
            shots = sweep.shots if method.settings.learns_from_anomalous else (0,)
            for step in planner.steps(planned, name, shots):
                steps.setdefault(step.result_key, step)
    return _some_of_each_first(sorted(steps.values(), key=_rank))


def _some_of_each_first(steps: Sequence[Step]) -> tuple[Step, ...]:
    """A step of every method goes before all others, then a second one, since the first sets its
    process up: they tell early how long the method's take, and whether it works at all.
    """
    turns: Counter[str] = Counter()
    turn = {}
    for step in steps:
        if step.needs is None:
            turn[step.result_key] = turns[step.method]
            turns[step.method] += 1
    return tuple(sorted(steps, key=lambda step: min(turn.get(step.result_key, 2), 2)))


def _rank(step: Step) -> tuple[Any, ...]:
    """Sorts fine-tunings before trials and large steps before small ones."""
    name = (step.category, step.method, step.shots, step.seed)
    return (step.kind != EXTRACTOR, -step.macs, *name)


@dataclass(frozen=True, slots=True)
class _Planner:
    """What all steps of a plan share; fields as in `make_plan`."""

    sweep: Sweep
    dataset: str
    weights: Mapping[str, str]
    environment: Mapping[str, str]
    networks: Mapping[str, Mapping[str, Any]]

    def steps(self, planned: Planned, name: str, numbers: Sequence[int]) -> Iterator[Step]:
        """The trials of a method with these numbers of shots, each after its fine-tuning where it
        has one.
        """
        sweep, method, category = self.sweep, self.sweep.chosen[name], planned.category.name
        computed: dict[str, Any] = {
            "fingerprint": planned.fingerprint,
            "weights": self.weights[name],
            "environment": dict(self.environment),
        }
        if method.package:
            computed["package"] = method.package
        if name in self.networks:
            computed["network"] = self.networks[name]
        anywhere = place(sweep, self.dataset, category, 0, 0)
        learned = {"detector": method.detector, "backbone": method.backbone}
        tuned = method.settings.trains
        tuning = {**learned, "training": method.settings.training()} if tuned else {}
        scoring = {"method": name, **method.identity(), "false_alarms": sweep.false_alarms}
        scored = trial_macs(sweep, method, planned)
        for shots, seed in product(numbers, sweep.seeds):
            step = partial(
                Step,
                dataset=self.dataset,
                category=category,
                method=name,
                shots=shots,
                seed=seed,
                settings=method,
                seed_word=seed_words_of(sweep.protocol)[0],
            )
            where, needs = {**anywhere, "shots": shots, "seed": seed}, None
            if tuned:
                identity = {**where, **tuning}
                needs = digest({"kind": EXTRACTOR, **identity, **computed})
                trained = finetune_macs(sweep, method, planned, shots)
                yield step(EXTRACTOR, digest(identity), needs, needs=None, macs=trained)
            identity = {**where, **scoring}
            made_of = {**computed, "extractor": needs, "features": sweep.features}
            if method.libraries:
                made_of["libraries"] = method.libraries
            key = digest({"kind": TRIAL, **identity, **made_of})
            yield step(TRIAL, digest(identity), key, needs=needs, macs=scored)


def place(sweep: Sweep, dataset: str, category: str, shots: int, seed: int) -> dict[str, Any]:
    """What a step's ids say of its split and its input; whose method it is comes on top."""
    # Ids stay what they were before there was a choice.
    interpolation = {}
    if sweep.interpolation != "bicubic":
        interpolation = {"interpolation": sweep.interpolation}
    return {
        "dataset": dataset,
        "category": category,
        "shots": shots,
        "seed": seed,
        "reserve": sweep.reserve,
        "image_size": sweep.image_size,
        "resize": sweep.resize,
        **interpolation,
        **sweep.split_identity(),
    }


def finetune_macs(sweep: Sweep, method: Method, planned: Planned, shots: int) -> float:
    """Multiply-accumulates of a fine-tuning: forward and backward through extractor and decoder,
    which weighs about as much again; of a patch classifier, those of the features it learns from.
    """
    settings, image = method.settings, image_macs(sweep, method)
    features = 0.0
    if isinstance(settings, ApcPlusSettings) and settings.classifies:
        features = image * images_in_views(settings, shots)
    if isinstance(settings, ApcPlusSettings) and not settings.tunes:
        return features
    images = settings.images_trained_on(planned.sizes[1])
    return features + 3.0 * 2 * learned_macs(sweep, method) * images


def learned_macs(sweep: Sweep, method: Method) -> float:
    """Multiply-accumulates of the features of an image, or a crop, that a network learns from."""
    settings = method.settings
    side = (settings.crop or 1.0) if isinstance(settings, ApcSettings) else 1.0
    return image_macs(sweep, method) * side**2


def images_in_views(settings: ApcPlusSettings, shots: int) -> int:
    """How many images APC+'s classifier learns from in a changed view."""
    return shots * settings.classifier_views + settings.classifier_normal_views


def trial_macs(sweep: Sweep, method: Method, planned: Planned) -> float:
    """Multiply-accumulates of a trial: features of every image, and with a memory bank the
    coreset's and the search's matrix products.
    """
    settings = method.settings
    images, train = planned.sizes
    features = images * image_macs(sweep, method)
    if not isinstance(settings, PatchCoreSettings):
        return features
    patches = (sweep.image_size / 8) ** 2
    vectors = train * patches
    bank = min(vectors * settings.coreset_ratio, settings.bank_max or vectors)
    coreset = vectors * bank * (settings.projection_dim or settings.target_dim)
    return features + coreset + images * patches * bank * settings.target_dim


def image_macs(sweep: Sweep, method: Method) -> float:
    """Multiply-accumulates of one image's features."""
    return gmacs(method.backbone) * 1e9 * (sweep.image_size / 224) ** 2


def fingerprint(category: Category, hashes: Mapping[str, str], left_out: Mapping[str, str]) -> str:
    """A category by content: every sample's name, content, mask content, defect type and group,
    what was left out, who trains where no path says it, and how its files are understood where
    earlier versions did so otherwise.
    """
    rows, training = [], []
    for sample in category.samples:
        mask: Any = hashes[sample.mask] if sample.mask else None
        if sample.more_masks:
            mask = [hashes[path] for path in sample.masks]
        rows.append([sample.image, hashes[sample.image], mask, sample.defect_type, sample.group])
        if sample.training and not sample.image.startswith("train/"):
            training.append(sample.image)
    content: list[Any] = [rows, sorted(left_out)]
    if training:
        content.append(training)
    if not category.encoding.usual:
        content.append(category.encoding.identity())
    return digest(content)
