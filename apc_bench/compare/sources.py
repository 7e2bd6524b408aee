"""One side of a comparison by what a user calls it: a run folder, published figures by name, or the
result table of another tool.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from apc_bench.compare.record import Key, Record, Side
from apc_bench.compare.table_readers import read_foreign
from apc_bench.errors import DamagedFile, UsageError, listed, unknown
from apc_bench.metrics.catalogue import COMPARED_COSTS, METRICS
from apc_bench.results.aggregate import FULL, TEST, Results, System
from apc_bench.results.published import PublishedResult, read_published
from apc_bench.results.reading import read_results
from apc_bench.store.info import INFO, is_run
from apc_bench.store.run import Run

FILES = ("results.csv", "result.csv", "log.txt", "results.json")
"""What other tools call their table of results: looked for where a folder is given that is no
run.
"""

IMAGE_AND_PIXEL = ("image_auroc", "pixel_auroc")


def read_side(text: str) -> Side:
    """A side by what the user wrote.

    A run folder; a file of another tool (formats: table_files.py), `FILE#HEADING` for one table of
    several; a folder with such a file; or published figures, `NAME` or `NAME:SOURCE` of
    reports/published. Raises UsageError, RunError, DamagedFile.
    """
    for path, heading in _readings(text):
        if path.is_dir():
            return _folder(path, heading)
        if path.is_file():
            return read_foreign(path, heading)
    return _published(text)


def _readings(text: str) -> Iterator[tuple[Path, str]]:
    """Path and heading, from the longest path to the shortest: a name may hold a '#' itself."""
    path, heading = text, ""
    while path:
        yield Path(path), heading
        path, _, last = path.rpartition("#")
        heading = f"{last}#{heading}" if heading else last


def _folder(path: Path, heading: str) -> Side:
    if is_run(path):
        if heading:
            raise UsageError(f"{path} is a run folder, which has no table '#{heading}'")
        return side_of_run(read_results(Run.open(path)), path)
    files = [path / name for name in FILES if (path / name).is_file()]
    if not files:
        raise UsageError(
            f"{path} is no run folder (it has no {INFO}) and holds no table of results"
            f" ({', '.join(FILES)})"
        )
    if len(files) > 1:
        names = listed(file.name for file in files)
        raise UsageError(f"{path} holds several tables of results ({names}); name one of them")
    return read_foreign(files[0], heading)


def side_of_run(results: Results, path: Path) -> Side:
    """Every metric of every trial, on the common test set and, of frozen systems, on the full one;
    seconds and memory; run.json as `info`.
    """
    records: list[Record] = []
    missing: list[str] = []
    titles: dict[Key, str] = {}
    for system in results.systems:
        titles[system.method, system.shots] = system.label
        records += _records(results, system)
        for category, seed, reason in results.missing(system):
            missing.append(f"{system.label} on {category}, seed {seed}: {reason}")
    if not records:
        raise DamagedFile(f"{path}: no trial of this run has a result yet")
    return Side(
        str(path),
        "run",
        results.dataset,
        tuple(records),
        results.categories,
        titles,
        info=results.info,
        missing=tuple(missing),
    )


def _records(results: Results, system: System) -> list[Record]:
    """A system's figures, but for those that are undefined."""
    records = []
    for subset, metrics in ((TEST, (*METRICS, *COMPARED_COSTS)), (FULL, METRICS)):
        for row in results.rows(system, subset):
            place = (system.method, system.shots, row["category"], row["seed"])
            for metric in metrics:
                value = row.get(metric)
                if value is not None and math.isfinite(value):
                    records.append(Record(*place, metric, float(value), subset))
    return records


def _published(text: str) -> Side:
    """Published figures, which are of the full test set and have no seeds."""
    name, _, source = text.partition(":")
    known = {group.dataset: group for group in read_published()}
    if name not in known:
        raise UsageError(f"no folder or file {text}, and {unknown('published table', name, known)}")
    group = known[name]
    if source and source not in group.sources:
        raise UsageError(unknown(f"source of {name}", source, group.sources))
    records: list[Record] = []
    titles: dict[Key, str] = {}
    notes: dict[str, str] = {}
    for figure in group.figures:
        if not source or figure.source == source:
            records += _printed(figure)
            titles[_system(figure), figure.shots] = _system(figure)
            notes[figure.source] = f"{figure.source}: {group.sources[figure.source]}"
    return Side(
        text,
        "published",
        group.dataset,
        tuple(records),
        group.categories,
        titles,
        notes=tuple(notes.values()),
    )


def _system(figure: PublishedResult) -> str:
    """`PRNet [prnet_paper]`: two sources may have figures of one system."""
    return f"{figure.system} [{figure.source}]"


def _printed(figure: PublishedResult) -> list[Record]:
    """A figure's categories where the source has them, else its mean: as it is printed, not as its
    categories would give.
    """
    system = (_system(figure), figure.shots)
    records = []
    for category, pair in figure.per_category.items():
        for metric, value in zip(IMAGE_AND_PIXEL, pair, strict=True):
            records.append(Record(*system, category, None, metric, value / 100, FULL))
    for metric, value in figure.means.items():
        records.append(Record(*system, None, None, metric, value / 100, FULL))
    return records
