"""From settings to a plan: the dataset found, hashed, decoded and split, the weights found, the
environment resolved. All that can be wrong is wrong here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from apc_bench.datasets.catalog import MVTEC_AD, is_mvtec_ad
from apc_bench.datasets.encoding import Encoding
from apc_bench.datasets.hold_out import nothing_to_hold_out
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category, Dataset, of_part
from apc_bench.datasets.split import Split, SplitsBySeed, images_to_draw, make_split
from apc_bench.datasets.unmasked import unmasked_lines
from apc_bench.datasets.unused import reading_lines
from apc_bench.errors import UsageError
from apc_bench.files.hashing import digest, file_sha256
from apc_bench.networks.weights import Weights, describe, resolve
from apc_bench.plan import Planned, Step, make_plan
from apc_bench.runner.messages import SweepContext
from apc_bench.runner.scan import Say, scan_files
from apc_bench.settings.anomalib import ANOMALIB, INSTALL
from apc_bench.settings.backbones import is_timm
from apc_bench.settings.detectors import PatchCoreSettings, PRNetSettings
from apc_bench.settings.sweep import Method, Sweep, SyntheticData
from apc_bench.store.cache import Cache
from apc_bench.store.provenance import computing_environment, gpu_names, is_faster_in_bfloat16

NOT_HERE = "not here yet"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sweep that can start: resolved settings, the dataset, the plan, and what a report must say
    about the inputs.

    left_out: category -> image -> reason; emptied: category -> images whose mask the resize
    emptied; missing: what would be downloaded.
    """

    sweep: Sweep
    dataset: Dataset
    steps: tuple[Step, ...]
    planned: tuple[Planned, ...]
    weights: Mapping[str, Weights]
    environment: Mapping[str, str]
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    emptied: Mapping[str, list[str]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def fingerprints(self) -> dict[str, str]:
        """By category."""
        return {planned.category.name: planned.fingerprint for planned in self.planned}

    @property
    def encodings(self) -> dict[str, Encoding]:
        """By category."""
        return {planned.category.name: planned.category.encoding for planned in self.planned}

    def context(self, run: Path, cache: Cache) -> SweepContext:
        """What the sweep's steps share, of a run folder that nobody holds yet."""
        methods = self.sweep.chosen.values()
        return SweepContext(
            sweep=self.sweep,
            run=run.resolve(),
            data=self.dataset.root,
            cache=cache.folder.resolve(),
            fingerprints=self.fingerprints,
            encodings=self.encodings,
            weights={name: used.sha256 for name, used in self.weights.items()},
            environment=self.environment,
            packages={one.detector: one.package for one in methods if one.package},
            libraries={name: known for one in methods for name, known in one.libraries.items()},
            networks={name: used.network for name, used in self.weights.items() if used.network},
        )

    def splits_of(self, steps: Iterable[Step]) -> list[Split]:
        """The splits of the steps, each once. Raises DataError where the images do not suffice."""
        splits = {planned.category.name: planned.splits for planned in self.planned}
        places = dict.fromkeys((step.category, step.seed) for step in steps)
        return [splits[category][seed] for category, seed in places]


def prepare(
    sweep: Sweep, data: Path | None, cache: Cache, *, say: Say, dry: bool = False
) -> Prepared:
    """Reads, hashes, decodes and splits the dataset, finds the weights and makes the plan. `dry`:
    decodes no photos and downloads nothing.

    Raises DataError (every unreadable file is named), WeightsError, UsageError, StorageError.
    """
    sweep, dataset = find_dataset(sweep, data, cache, say=say)
    check_enough(sweep, dataset)
    environment = computing_environment(
        device=sweep.device, threads=sweep.threads, precision=sweep.precision
    )
    weights, missing = _find_weights(sweep, cache, say=say, dry=dry)
    scan = scan_files(sweep, dataset, cache, say=say, dry=dry)
    planned = []
    for category in scan.categories:
        splits = splits_of(sweep, dataset.name, category, scan.hashes[category.name])
        planned.append(Planned(category, scan.fingerprints[category.name], splits))
        reason = nothing_to_hold_out(category.samples)
        if reason:
            say(f"category '{category.name}': {reason}")
    drawn = {one.category.name: one.splits for one in planned}
    systems = {of.title or name: of.settings for name, of in sweep.chosen.items()}
    for line in unmasked_lines(dataset.categories, systems):
        say(line)
    sweep = _with_shots(sweep, lambda name, seed: len(drawn[name][seed].drawn(None)), drawn)
    hashes = {name: of_method.sha256 for name, of_method in weights.items()}
    networks = {name: found.network.identity() for name, found in weights.items() if found.network}
    return Prepared(
        sweep=sweep,
        dataset=dataset,
        steps=make_plan(sweep, dataset.name, planned, hashes, environment, networks),
        planned=tuple(planned),
        weights=weights,
        environment=environment,
        left_out=scan.left_out,
        emptied=scan.emptied,
        missing=missing,
    )


def find_dataset(
    sweep: Sweep, data: Path | None, cache: Cache, *, say: Say
) -> tuple[Sweep, Dataset]:
    """The dataset of a sweep, made on the spot where it is synthetic; and the sweep with device,
    precision and name resolved. Says what no trial uses, and what is read otherwise than its name
    says.
    """
    if data is not None:
        dataset = read_dataset(data.resolve(), name=sweep.dataset, categories=sweep.categories)
        if sweep.dataset is None and is_mvtec_ad(dataset):
            dataset = replace(dataset, name=MVTEC_AD)
        sweep = sweep.model_copy(update={"synthetic": None})
    elif sweep.synthetic is not None:
        root = _synthetic(sweep.synthetic, cache, say=say)
        dataset = read_dataset(root, name=sweep.dataset or "synthetic", categories=sweep.categories)
    else:
        raise UsageError(
            f"job '{sweep.job}' needs --data DIR, a folder with good/ and bad/, or in MVTec layout"
            " (CATEGORY/train/good, CATEGORY/test/TYPE)"
        )
    if sweep.part is not None:
        dataset = of_part(dataset, sweep.part)
    for line in reading_lines(dataset):
        say(line)
    return _resolved(sweep, dataset.name), dataset


def _resolved(sweep: Sweep, dataset: str) -> Sweep:
    """The sweep with its dataset's name, and with device and precision where they were `auto`."""
    device, precision = sweep.device, sweep.precision
    if device == "auto":
        device = "cuda" if gpu_names() else "cpu"
    if precision == "auto":
        precision = "bfloat16" if is_faster_in_bfloat16(device) else "float32"
    update = {"dataset": dataset, "device": device, "precision": precision}
    return sweep.model_copy(update=update)


def splits_of(
    sweep: Sweep, dataset: str, category: Category, hashes: Mapping[str, str]
) -> SplitsBySeed:
    """The category's split under each seed, by the sweep's protocol; asking for one raises
    DataError where the images do not suffice.
    """
    make = partial(make_split, category, hashes, sweep.evaluation, dataset=dataset)
    return SplitsBySeed(sweep.seeds, make)


def check_enough(sweep: Sweep, dataset: Dataset) -> None:
    """Raises DataError or UsageError where there are fewer photos than the protocol and its shots
    take, before weights are asked for and files are read.
    """
    categories = {category.name: category for category in dataset.categories}

    def drawn(name: str, seed: int) -> int:
        return images_to_draw(categories[name], sweep.evaluation, dataset=dataset.name, seed=seed)

    _with_shots(sweep, drawn, categories)


def _with_shots(sweep: Sweep, drawn: Callable[[str, int], int], categories: Iterable[str]) -> Sweep:
    """The sweep with the shots that its protocol gives where the images are fewest. `drawn`: how
    many images there are to draw from, of a category and a seed. Raises UsageError for more shots.
    """
    # A reserve is as large under every seed.
    seeds = sweep.seeds[:1] if sweep.evaluation.shots_needed else sweep.seeds
    fewest = min((drawn(name, seed), name) for name in categories for seed in seeds)
    try:
        shots = sweep.evaluation.shots(sweep.shots, *fewest)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return sweep.model_copy(update={"shots": shots})


def _synthetic(settings: SyntheticData, cache: Cache, *, say: Say) -> Path:
    from apc_bench.datasets import synthetic

    source = [file_sha256(path) for path in sorted(Path(synthetic.__file__).parent.glob("*.py"))]
    versions = [version(name) for name in ("numpy", "scipy", "pillow")]
    root = cache.folder / "synthetic" / digest([settings.model_dump(mode="json"), source, versions])
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_suffix(".lock")):
        if not root.is_dir():
            say(f"making the synthetic dataset in {root}")
            numbers = settings.model_dump(exclude={"categories"})
            synthetic.make_dataset(
                root, categories=settings.categories or synthetic.CATEGORIES, **numbers
            )
    return root


def _find_weights(
    sweep: Sweep, cache: Cache, *, say: Say, dry: bool
) -> tuple[dict[str, Weights], tuple[str, ...]]:
    """The weights of each method, and what would be downloaded."""
    weights: dict[str, Weights] = {}
    missing: dict[str, None] = {}
    told: dict[str, None] = {}
    for name, method in sweep.chosen.items():
        _check_search(name, method)
        if method.detector == ANOMALIB and method.package is None:
            raise UsageError(INSTALL)
        note = describe(method.backbone, file=method.weights, cache=cache.folder)
        if note and dry:
            told |= dict.fromkeys(_check_weights(sweep, name, None))
            missing[note] = None
            weights[name] = Weights(Path(), NOT_HERE, NOT_HERE)
            continue
        if note:
            say(note)
        weights[name] = resolve(method.backbone, file=method.weights, cache=cache.folder)
        own = method.weights is None and not is_timm(method.backbone)
        if method.detector == ANOMALIB or not own:
            told |= dict.fromkeys(_check_weights(sweep, name, weights[name]))
    for message in told:
        say(message)
    return weights, tuple(missing)


def _check_search(name: str, method: Method) -> None:
    """Raises UsageError for a search that faiss has no index for."""
    settings = method.settings
    if isinstance(settings, PatchCoreSettings) and settings.approximate_search is not None:
        from apc_bench.bank.faiss_index import make

        try:
            make(settings.approximate_search, settings.target_dim)
        except UsageError as error:
            raise UsageError(f"method '{name}': {error}") from None


def _check_weights(sweep: Sweep, name: str, weights: Weights | None) -> list[str]:
    """What comes from elsewhere is opened before the first step: of another network, damaged, too
    partial, or without the layers asked for, it would fail every one of them. Says what the user
    should know of it. `weights`: None where they are not here yet.
    """
    method = sweep.methods[name]
    if method.detector == ANOMALIB:
        from apc_bench.detectors.anomalib.checking import check

        try:
            return check(method, weights, sweep.image_size)
        except UsageError as error:
            raise UsageError(f"method '{name}': {error}") from None
    if weights is None:
        return []
    from apc_bench.networks.loading import load_backbone
    from apc_bench.networks.prnet import require_resolutions

    backbone, messages = load_backbone(method.backbone, weights.path)
    layers = backbone.select(method.settings.layers)
    if isinstance(method.settings, PRNetSettings):
        require_resolutions(backbone, layers)
    backbone.probe(sweep.image_size)
    return [*messages, *backbone.notes(sweep.image_size)]
