"""A run for Python: what its report shows, and what lies behind it, read when it is asked for."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from apc_bench.datasets.places import root_of
from apc_bench.errors import RunError, UsageError, listed, unknown
from apc_bench.export.chosen import Choice, result_key_of
from apc_bench.interface.facts import Facts
from apc_bench.interface.maps import Maps
from apc_bench.interface.shown import ShownTable
from apc_bench.report.figure_style import ReportFigure
from apc_bench.report.figures import Known, figures_by_name
from apc_bench.report.page_record import command, provenance
from apc_bench.report.parallel import FigureTask
from apc_bench.report.selection import RULE
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import answers
from apc_bench.results.like_normal import with_types_like_normal
from apc_bench.results.memorisation import memorisations
from apc_bench.results.reading import read_results
from apc_bench.store.attempts import Failure
from apc_bench.store.result_files import as_frame
from apc_bench.store.run import Run
from apc_bench.store.schemas import SCORES, TABLES
from apc_bench.tables.report_tables import report_tables
from apc_bench.tables.table import Table

Place = str | os.PathLike[str]

UNDER = {"shots": "shots", "few": "shots", "gains": "gains", "ranks": "ranks"}
"""Figure -> the table that shows the same numbers, whose definitions are its own."""


def open_run(
    path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
) -> "OpenedRun":
    """The run in a folder. `data`: the dataset's folder, for photos; by default where the sweep
    found it.

    Raises RunError where there is no run, or one of a newer version, UsageError for a folder `data`
    that is not there.
    """
    run = Run.open(Path(path))
    photos = run.info.data if data is None else Path(data)
    if data is not None:
        if not Path(data).is_dir():
            raise UsageError(f"no such folder: {data} (data: the dataset that was swept)")
        photos = root_of(Path(data).resolve())
    return OpenedRun(run, photos)


class OpenedRun:
    """A run as it is when it is asked: what has been read stays as it was then; `open_run` again
    shows what a sweep has added since.

    A damaged file is named in `damaged`, and everything goes on without it, as in a report. All of
    it raises DamagedFile or RunError where the run holds nothing to be shown.
    """

    def __init__(self, run: Run, data: Path | None) -> None:
        self._run = run
        self._data = data

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._run.path

    @property
    def damaged(self) -> Sequence[str]:
        """What did not verify so far, a line each."""
        return tuple(self._run.damaged)

    @property
    def failures(self) -> Sequence[Failure]:
        """Steps that were tried and are not done, with reason and traceback."""
        return tuple(self._run.failures())

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """One row per trial and evaluated subset; `definitions` says what each column is, and
        fractions lie between 0 and 1.
        """
        return self._run.metrics()

    @cached_property
    def scores(self) -> pl.DataFrame:
        """One row per trial and scored image: category, method, shots, seed, then the columns of
        the run's scores (`definitions`); of the trials that the tables rest on.
        """
        keys = {}
        for (system, category, seed), trial in self._results.trials.items():
            if trial.result_key is not None:
                keys[trial.result_key] = (category, system.method, system.shots, seed)
        read = self._run.scores_of(list(keys))
        frames = [_placed(frame, keys[key]) for key, frame in read.items()]
        if not frames:
            frames = [_placed(as_frame(SCORES.empty_table()), ("", "", 0, 0))]
        return pl.concat(frames, rechunk=True)

    def maps(
        self,
        category: str | None = None,
        *,
        method: str | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> Maps:
        """The anomaly maps of one trial, by image. Left open: the only category, the only method,
        its largest number of shots (a frozen method has 0), the first seed or fold.

        Raises UsageError for what the run has not, or what is left open and not the only one;
        RunError where the trial has no result, or the run keeps no maps.
        """
        categories = self._results.categories
        if category is None and len(categories) > 1:
            raise UsageError(f"maps of which category? name one of {listed(categories, 20)}")
        chosen = Choice(method, shots, seed, None if category is None else [category])
        trials = chosen.trials(self._results)
        (name,) = trials.categories
        key = result_key_of(self._results, trials.system, name, trials.seed)
        if not (self.path / "maps").is_dir():
            raise RunError(
                f"{self.path}: this run keeps no maps, there is no folder maps/ in it; its sweep"
                " again makes them anew"
            )
        images, values = self._run.maps(key)
        metadata = self._run.map_metadata(key)
        title = f"{trials.system.label} on {name}, {self._results.seed_words[0]} {trials.seed}"
        definitions = Facts(
            [
                ("Unit", metadata.get("unit", "as the method has it")),
                ("Grid", f"{metadata['grid']}, over the input of {metadata['image_size']} pixels"),
                ("Smoothing", f"none yet; sigma {metadata['sigma']} pixels for pixel metrics"),
            ]
        )
        return Maps(title, images, values, definitions, self.provenance)

    @property
    def tables(self) -> Sequence[str]:
        """The names that `table` takes, in the order of the page."""
        return tuple(self._tables)

    def table(self, name: str) -> ShownTable:
        """A table of the report: `poster`, `gains`, `shots` … Raises UsageError with the names for
        one that the run's report has not.
        """
        if name not in self._tables:
            raise UsageError(unknown("table", name, self._tables))
        return ShownTable(self._tables[name], self.provenance)

    @property
    def figures(self) -> Sequence[str]:
        """The names that `figure` takes."""
        return tuple(self._figures)

    def figure(self, name: str, category: str | None = None) -> Figure:
        """A figure of the report, drawn now: `shots`, `answer`, `gains` …; of one category where
        one is named, which `curves` and `gallery` always are of.

        Raises UsageError with the names for what the run's report has not, RunError where the run
        holds nothing to draw.
        """
        if name not in self._figures:
            raise UsageError(unknown("figure", name, self._figures))
        figure = self._task(name, category).draw(self._results, self._run)
        if figure is None:
            raise RunError(f"{self.path}: nothing to draw as figure '{name}'")
        if isinstance(figure, ReportFigure):
            figure.definitions = self._definitions_of(name)
            figure.provenance = self.provenance
        return figure

    @cached_property
    def definitions(self) -> Facts:
        """What each column of `metrics` and `scores` means."""
        columns = [
            column
            for table in TABLES
            if table.name in ("metrics", "scores")
            for column in (*table.place, *table.columns)
        ]
        return Facts({column.name: column.meaning for column in columns if column.meaning}.items())

    @cached_property
    def provenance(self) -> Facts:
        """Where the run comes from: its command, versions, machine, weights and data."""
        words = command(self._results)
        return Facts([*([("command", words)] if words else []), *provenance(self._results)])

    @cached_property
    def _results(self) -> Results:
        return with_types_like_normal(read_results(self._run), self._run)

    @cached_property
    def _known(self) -> Known:
        return Known(memorisations(self._results, self._run), answers(self._results, self._run))

    @cached_property
    def _tables(self) -> Mapping[str, Table]:
        known = self._known
        made = report_tables(self._results, self._run, known.answered, known.memorised)
        return {table.name: table for table in made}

    @cached_property
    def _figures(self) -> Mapping[str, Mapping[str, FigureTask]]:
        data = self._data if self._data is not None and self._data.is_dir() else None
        return figures_by_name(self._results, self._known, data)

    def _task(self, name: str, category: str | None) -> FigureTask:
        """Raises UsageError for a category that the figure is not of."""
        tasks = self._figures[name]
        of_categories = [one for one in tasks if one]
        if category is None and ("" in tasks or len(tasks) == 1):
            return tasks.get("") or tasks[of_categories[0]]
        if not of_categories:
            raise UsageError(f"figure '{name}' is of the whole run; leave the category out")
        if category is None:
            raise UsageError(
                f"figure '{name}' is of one category: name one of {listed(of_categories, 20)}"
            )
        if category not in tasks:
            raise UsageError(unknown("category", category, of_categories))
        return tasks[category]

    def _definitions_of(self, figure: str) -> Facts:
        if figure == "gallery":
            return Facts([("Rows", RULE)])
        name = UNDER.get(figure, figure)
        table = self._tables.get(name) or self._tables["poster"]
        return Facts((note.label, note.text) for note in table.notes)

    def __repr__(self) -> str:
        return f"open_run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return self.table("poster")._repr_html_()


def _placed(frame: pl.DataFrame, place: tuple[str, str, int, int]) -> pl.DataFrame:
    """A trial's rows, with whose they are in front."""
    category, method, shots, seed = place
    return frame.select(
        pl.lit(category).alias("category"),
        pl.lit(method).alias("method"),
        pl.lit(shots, pl.Int64).alias("shots"),
        pl.lit(seed, pl.Int64).alias("seed"),
        pl.all(),
    )
