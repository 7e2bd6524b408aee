"""A foreign method's maps and scores through the same split, metrics and files as ours: a run
folder that report, compare and gate read.

Nothing of the method is run here. The test set is the one that any method of the same dataset, seed
and reserve is tested on (docs/method.md section 5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apc_bench.datasets.images import Geometry
from apc_bench.datasets.samples import Dataset
from apc_bench.errors import DataError, RunError, UsageError, listed
from apc_bench.external.maps import (
    Scores,
    by_seed,
    categories_in,
    read_maps,
    read_scores,
    seed_folder,
)
from apc_bench.external.trials import DETECTOR, ExternalMethod, results
from apc_bench.plan import Planned
from apc_bench.runner.prepare import Say, Scan, find_dataset, scan_files, splits_of
from apc_bench.settings.protocols import SPLIT_SETTINGS
from apc_bench.settings.sweep import Sweep, make_sweep
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import decoded
from apc_bench.store.info import RunInfo, is_run
from apc_bench.store.provenance import computing_environment, recorded_environment
from apc_bench.store.run import Run

SCORES = "scores.csv"
SPLIT = ("dataset", "categories", "seeds", *SPLIT_SETTINGS)
FROM_RUN = (*SPLIT, "image_size", "resize", "false_alarms", "skip_unreadable")


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What the command line said. `shots`: how many images of the split's draw the method learned
    from. `settings`: those of a sweep.
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
    return {name: info.settings[name] for name in FROM_RUN if name in info.settings}, info.data


def evaluate(
    request: EvaluationRequest, data: Path, path: Path, cache: Cache, *, say: Say
) -> Iterator[str]:
    """Evaluates the method into the run folder `path`, which is made, or added to where it is one;
    gives a line for each trial.

    Raises DataError that names missing, odd-sized and unreadable maps and scores, RunError where
    the folder is of other data, UsageError.
    """
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
    chosen = categories_in(request.maps, [category.name for category in dataset.categories])
    found = scan_files(sweep, _only(dataset, chosen), cache, say=say, dry=False)
    scores = _scores(request, chosen)
    planned = [_plan(category.name, found, dataset, sweep) for category in found.categories]
    run, old = Run(path), _before(request, path, found)
    foreign = ExternalMethod(
        request.name,
        request.title,
        request.shots,
        sweep,
        computing_environment(device="cpu", threads=1, precision="float32"),
        one_set,
    )
    _check(request, planned, sweep, scores, cache)
    path.mkdir(parents=True, exist_ok=True)
    with run.lock():
        if old is None:
            run.write_info(_info(request, sweep, dataset, found, foreign))
        for each in planned:
            images = decoded(cache, each.category, each.fingerprint, _geometry(sweep))
            for seed, split in each.splits.items():
                step, result = results(
                    foreign,
                    each,
                    split,
                    images,
                    seed_folder(request.maps, seed) / each.category.name,
                    scores,
                )
                run.planned.add([step])
                run.splits.write(split)
                run.trials.write(step, result)
                yield step.name


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


def _geometry(sweep: Sweep) -> Geometry:
    return Geometry(sweep.image_size, sweep.resize)


def _only(dataset: Dataset, categories: Sequence[str]) -> Dataset:
    return replace(
        dataset,
        categories=tuple(
            category for category in dataset.categories if category.name in categories
        ),
    )


def _plan(name: str, found: Scan, dataset: Dataset, sweep: Sweep) -> Planned:
    category = next(one for one in found.categories if one.name == name)
    return Planned(
        category,
        found.fingerprints[name],
        splits_of(sweep, dataset.name, category, found.hashes[name]),
    )


def _scores(request: EvaluationRequest, categories: Sequence[str]) -> Scores | None:
    """The scores given, or those beside the maps; None: the largest value of each map is its
    image's score.
    """
    path = request.scores or (request.maps / SCORES if (request.maps / SCORES).is_file() else None)
    return read_scores(path, categories) if path else None


def _check(
    request: EvaluationRequest,
    planned: Sequence[Planned],
    sweep: Sweep,
    scores: Scores | None,
    cache: Cache,
) -> None:
    """Reads every map and looks up every score before anything is written, so that all that is
    wrong is named at once.
    """
    problems: list[str] = []
    for each in planned:
        images = decoded(cache, each.category, each.fingerprint, _geometry(sweep))
        folders: dict[Path, set[int]] = {}
        for seed, split in each.splits.items():
            folders.setdefault(seed_folder(request.maps, seed) / each.category.name, set()).update(
                ExternalMethod.rows(split, request.shots)
            )
        for folder, chosen in folders.items():
            rows = sorted(chosen)
            names = [each.category.samples[row].image for row in rows]
            sizes = [(int(images.placement[row, 0]), int(images.placement[row, 1])) for row in rows]
            try:
                read_maps(folder, names, sizes, _geometry(sweep))
            except DataError as error:
                problems.append(str(error))
            if scores is not None and (
                absent := [name for name in names if (each.category.name, name) not in scores.test]
            ):
                problems.append(
                    f"scores of {each.category.name}: missing: {len(absent)} ({listed(absent, 4)})"
                )
    if problems:
        raise DataError("; ".join(dict.fromkeys(problems)))


def _before(request: EvaluationRequest, path: Path, found: Scan) -> RunInfo | None:
    """run.json of the folder that is added to; None for a new one. Raises RunError where it cannot
    be added to.
    """
    if not is_run(path):
        if path.is_dir() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and no run folder; name another --run")
        return None
    info = Run.open(path).info_with("settings")
    changed = [
        name
        for name, content in found.fingerprints.items()
        if info.fingerprints.get(name, content) != content
    ]
    if changed:
        raise RunError(f"{path}: the content of {listed(changed)} is not what that run was made on")
    method = info.settings.get("methods", {}).get(request.name)
    if method is not None and method.get("detector") != DETECTOR:
        raise UsageError(
            f"{path} has a method '{request.name}' of its own; call this one otherwise with --name"
        )
    return info


def _info(
    request: EvaluationRequest, sweep: Sweep, dataset: Dataset, found: Scan, foreign: ExternalMethod
) -> RunInfo:
    """run.json of a run that holds nothing but this method."""
    method: dict[str, Any] = {
        "detector": DETECTOR,
        "backbone": "unknown",
        "title": request.title,
        "weights": None,
        "settings": {},
    }
    settings = sweep.model_dump(mode="json")
    settings["shots"] = [request.shots] if request.shots else []
    settings["methods"] = {request.name: method}
    return RunInfo(
        dataset=dataset.name,
        data=dataset.root,
        settings=settings,
        fingerprints=found.fingerprints,
        computing=dict(foreign.environment),
        environment=recorded_environment(),
        left_out=found.left_out,
        emptied=found.emptied,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
