"""An external method's maps and scores through the same split, metrics and files as ours: a run
folder that report, compare and gate read.

Nothing of the method is run here. The test set is the one that any method of the same dataset, seed
and reserve is tested on (docs/method.md section 5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.encoding import recorded
from apc_bench.datasets.samples import Dataset
from apc_bench.datasets.unused import unused_files
from apc_bench.errors import DataError, RunError, UsageError, listed
from apc_bench.external.maps import (
    by_seed,
    categories_in,
    read_maps,
    seed_folder,
    sharing,
    unknown_categories,
)
from apc_bench.external.scores import ImageScores, read_scores
from apc_bench.external.trials import DETECTOR, ExternalMethod, MappedSplit, external_trial
from apc_bench.plan import Planned
from apc_bench.runner.prepare import find_dataset, splits_of
from apc_bench.runner.scan import Say, Scan, scan_files
from apc_bench.settings.protocols import SPLIT_SETTINGS
from apc_bench.settings.sweep import Sweep, make_sweep
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded
from apc_bench.store.info import RunInfo, is_run
from apc_bench.store.provenance import computing_environment, recorded_environment
from apc_bench.store.run import Run

SCORES = "scores.csv"
SPLIT = ("dataset", "categories", "seeds", *SPLIT_SETTINGS)
FROM_RUN = (*SPLIT, "image_size", "resize", "interpolation", "false_alarms", "skip_unreadable")


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What the command line said. `maps`, `scores`: their folder and file (external/maps.py);
    `shots`: how many images of the split's draw the method learned from; `settings`: those of a
    sweep.
    """

    maps: Path
    scores: Path | None
    name: str
    title: str | None
    shots: int
    settings: Mapping[str, Any]


def settings_of(run: Run) -> tuple[dict[str, Any], Path | None]:
    """The settings of an existing run that decide split, input and metrics, and the folder of its
    dataset. Raises DamagedFile.
    """
    info = run.info_with("settings", "data")
    settings = {name: info.settings[name] for name in FROM_RUN if name in info.settings}
    return settings, info.data


def evaluate(
    request: EvaluationRequest, data: Path, path: Path, cache: Cache, *, say: Say
) -> Iterator[str]:
    """Evaluates the method into the run folder `path`, which is made, or added to where it is one;
    gives a line for each trial.

    Raises DataError that names missing, odd-sized and unreadable maps and scores, RunError where
    the folder is of other data, UsageError.
    """
    evaluation = _prepare(request, data, cache, say=say)
    run, is_new = Run(path), _is_new(request, path, evaluation.scan)
    _check(evaluation)
    path.mkdir(parents=True, exist_ok=True)
    with run.lock():
        if is_new:
            run.write_info(_info(evaluation))
        for planned in evaluation.planned:
            images = evaluation.images(planned)
            for seed, split in planned.splits.items():
                mapped = MappedSplit(planned, split, images, evaluation.folder(planned, seed))
                step, result = external_trial(evaluation.method, mapped, evaluation.scores)
                run.planned.add([step])
                run.splits.write(split)
                run.compaction.take_out([step])
                run.trials.write(step, result)
                yield step.name


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluation:
    """What is evaluated on what. `scores`: None where the largest value of each map is its image's
    score.
    """

    request: EvaluationRequest
    method: ExternalMethod
    dataset: Dataset
    scan: Scan
    planned: Sequence[Planned]
    scores: ImageScores | None
    cache: Cache

    def images(self, planned: Planned) -> Decoded:
        """The category's images at input size."""
        return decoded(self.cache, planned.category, planned.fingerprint, self.method.geometry)

    def folder(self, planned: Planned, seed: int) -> Path:
        """Where the category's maps of a seed are. Raises DataError."""
        return seed_folder(self.request.maps, seed) / planned.category.name


def _prepare(request: EvaluationRequest, data: Path, cache: Cache, *, say: Say) -> _Evaluation:
    """Finds dataset, maps and scores, and scans the files of the categories that have maps."""
    if not request.maps.is_dir():
        raise UsageError(
            f"no such folder: {request.maps} (it takes maps as CATEGORY/test/TYPE/NAME.tiff)"
        )
    sweep, dataset = find_dataset(_sweep(request), data, cache, say=say)
    one_set = len(sweep.seeds) > 1 and not by_seed(request.maps)
    if request.shots and one_set:
        raise DataError(
            f"{request.maps}: every seed draws other images to learn from (splits/ of the run says"
            f" which), so with --shots {request.shots} each needs maps of its own, in"
            f" {request.maps / f'seed={sweep.seeds[0]}'}/CATEGORY/test; or name one seed"
        )
    known = [category.name for category in dataset.categories]
    names = categories_in(request.maps, known)
    if strange := unknown_categories(request.maps, known):
        say(f"{request.maps}: passed over {listed(strange)}: no category of the dataset")
    mapped = tuple(category for category in dataset.categories if category.name in names)
    scan = scan_files(sweep, replace(dataset, categories=mapped), cache, say=say, dry=False)
    method = ExternalMethod(
        name=request.name,
        title=request.title,
        shots=request.shots,
        sweep=sweep,
        environment=computing_environment(device="cpu", threads=1, precision="float32"),
        one_set=one_set,
    )
    planned = []
    for category in scan.categories:
        splits = splits_of(sweep, dataset.name, category, scan.hashes[category.name])
        planned.append(Planned(category, scan.fingerprints[category.name], splits))
    scores = _scores(request, dataset)
    return _Evaluation(request, method, dataset, scan, planned, scores, cache)


def _sweep(request: EvaluationRequest) -> Sweep:
    given = {name: value for name, value in request.settings.items() if value is not None}
    fixed = {
        "job": "evaluate",
        "methods": {request.name: {}},
        "shots": [max(1, request.shots)],
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
    }
    return make_sweep({**given, **fixed}, source="evaluate")


def _scores(request: EvaluationRequest, dataset: Dataset) -> ImageScores | None:
    """The scores given, or those beside the maps."""
    path = request.scores or request.maps / SCORES
    if request.scores is None and not path.is_file():
        return None
    images = {one.name: {sample.image for sample in one.samples} for one in dataset.categories}
    return read_scores(path, images)


def _check(evaluation: _Evaluation) -> None:
    """Reads every map and looks up every score before anything is written, so that all that is
    wrong is named at once.
    """
    problems: dict[str, None] = {}
    for planned in evaluation.planned:
        needed: dict[Path, set[int]] = {}
        for seed, split in planned.splits.items():
            folder = evaluation.folder(planned, seed)
            needed.setdefault(folder, set()).update(evaluation.method.rows(split))
        for folder, rows in needed.items():
            for problem in _problems(evaluation, planned, folder, sorted(rows)):
                problems[problem] = None
    if problems:
        raise DataError("; ".join(problems))


def _problems(
    evaluation: _Evaluation, planned: Planned, folder: Path, rows: Sequence[int]
) -> list[str]:
    """What is wrong with the maps and scores of some of a category's images."""
    problems = []
    category, placement = planned.category, evaluation.images(planned).placement
    names = [category.samples[row].image for row in rows]
    sizes = [(int(height), int(width)) for height, width in placement[rows, :2]]
    together = sharing(sample.image for sample in category.samples)
    if alike := sorted(set(together) & set(names)):
        problems.append(f"maps in {folder}: one for images of one name: {listed(alike, 4)}")
    try:
        read_maps(folder, names, sizes, evaluation.method.geometry)
    except DataError as error:
        problems.append(str(error))
    if evaluation.scores is not None:
        scored = evaluation.scores.test
        missing = [name for name in names if (category.name, name) not in scored]
        if missing:
            what = f"{len(missing)} ({listed(missing, 4)})"
            if strangers := evaluation.scores.strangers:
                what += f", while {len(strangers)} rows are of no image ({listed(strangers, 2)})"
            problems.append(f"scores of {category.name}: missing: {what}")
    return problems


def _is_new(request: EvaluationRequest, path: Path, scan: Scan) -> bool:
    """Whether the run folder is yet to be made. Raises RunError where it cannot be added to."""
    if not is_run(path):
        if path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and no run folder; name another --run")
        return True
    info = Run.open(path).info_with("settings")
    changed = [
        name
        for name, content in scan.fingerprints.items()
        if info.fingerprints.get(name, content) != content
    ]
    if changed:
        raise RunError(f"{path}: the content of {listed(changed)} is not what that run was made on")
    method = info.settings.get("methods", {}).get(request.name)
    if method is not None and method.get("detector") != DETECTOR:
        raise UsageError(
            f"{path} has a method '{request.name}' of its own; call this one otherwise with --name"
        )
    return False


def _info(evaluation: _Evaluation) -> RunInfo:
    """run.json of a run that holds nothing but this method."""
    request, scan = evaluation.request, evaluation.scan
    method: dict[str, Any] = {
        "detector": DETECTOR,
        "backbone": "unknown",
        "title": request.title,
        "weights": None,
        "settings": {},
    }
    settings = evaluation.method.sweep.model_dump(mode="json")
    settings["shots"] = [request.shots] if request.shots else []
    settings["methods"] = {request.name: method}
    return RunInfo(
        dataset=evaluation.dataset.name,
        data=evaluation.dataset.root,
        settings=settings,
        fingerprints=scan.fingerprints,
        computing=dict(evaluation.method.environment),
        environment=recorded_environment(),
        left_out=scan.left_out,
        emptied=scan.emptied,
        encodings=recorded(scan.encodings),
        unused=unused_files(evaluation.dataset),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
