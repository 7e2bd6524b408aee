"""Every figure of a report: those that its page shows, and those by category that it links to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apc_bench.report.answer_plot import answer_task
from apc_bench.report.curves import curves_tasks
from apc_bench.report.far_apart_plot import far_apart_task
from apc_bench.report.gain_heatmap import heatmap_task
from apc_bench.report.gallery import gallery_tasks
from apc_bench.report.memorisation_plot import memorisation_task
from apc_bench.report.page import OPENING
from apc_bench.report.parallel import FigureTask
from apc_bench.report.rank_diagram import rank_diagram_task
from apc_bench.report.shots_plots import few_samples_tasks, shots_tasks
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.memorisation import Memorisation


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A figure that the page shows: what it shows, and the name of the table that it stands
    under.
    """

    task: FigureTask
    title: str
    under: str


@dataclass(frozen=True, slots=True)
class PaperFigure:
    """A figure that the page links to: what kind it is, and of which category."""

    task: FigureTask
    kind: str
    category: str

    def links(self, report: Path) -> Iterator[tuple[str, str]]:
        """(what, path from the page) of each of its files."""
        place = self.task.folder.relative_to(report)
        for ending in self.task.formats:
            yield f"{self.kind} ({ending.upper()})", f"{place}/{self.task.name}.{ending}"


@dataclass(frozen=True, slots=True)
class Known:
    """What figures show besides the results themselves."""

    memorised: Sequence[Memorisation]
    answered: Sequence[Answer]


def page_figures(
    results: Results, known: Known, folder: Path, *, data: Path | None
) -> list[PageFigure]:
    """The figures that the page shows besides the tables: by shots of the mean over categories, or
    of the only one. `data`: the dataset's folder, None where it is not at hand.
    """
    shots = next(iter(shots_tasks(results, folder).values()))
    _, many = results.seed_words
    metrics = (
        f"Metrics by number of anomalous training images; bands: ± standard deviation over {many}"
    )
    few = next(iter(few_samples_tasks(results, folder).values()), None)
    how_few = f"How few samples: the baseline at 0; bands: 95 % interval over {many}"
    gain = "Gain over the baseline by category"
    average = "Average ranks; a bar joins systems that cannot be told apart"
    found = "What each system finds of the defects; lines: 95 % intervals"
    apart = "Good photos that set a threshold by themselves, beside usual ones"
    drawn = "Scores of drawn images, unseen anomalies, test normals and held-out normals"
    figures = [
        PageFigure(answer_task(known.answered, folder), found, OPENING),
        PageFigure(far_apart_task(known.answered, folder, data=data), apart, OPENING),
        PageFigure(shots, metrics, "shots"),
        PageFigure(few, how_few, "shots") if few else None,
        PageFigure(heatmap_task(folder), gain, "gains"),
        PageFigure(rank_diagram_task(folder), average, "ranks"),
        PageFigure(memorisation_task(known.memorised, folder), drawn, "memorisation"),
    ]
    return [figure for figure in figures if figure]


def paper_figures(
    results: Results, shown: Sequence[PageFigure], folder: Path, *, data: Path | None
) -> Iterator[PaperFigure]:
    """The figures by category that the page links to, besides those that it shows."""
    paths = {figure.task.path for figure in shown}
    for kind, tasks in _by_category(results, folder, data).items():
        for category, task in tasks.items():
            if task.path not in paths:
                yield PaperFigure(task, kind, category)


def _by_category(
    results: Results, folder: Path, data: Path | None
) -> dict[str, dict[str, FigureTask]]:
    """Kind -> category, or '' for the mean over categories -> its figure."""
    return {
        "shots": shots_tasks(results, folder / "plots"),
        "few": few_samples_tasks(results, folder / "plots"),
        "curves": curves_tasks(results, folder / "plots"),
        "gallery": gallery_tasks(results, folder / "gallery", data=data),
    }


def figures_by_name(
    results: Results, known: Known, data: Path | None
) -> Mapping[str, Mapping[str, FigureTask]]:
    """Name -> category, or '' for the whole run -> the task that draws it; nothing is drawn yet.
    `data`: the dataset's folder, whose photos the gallery shows.
    """
    nowhere = Path()  # a task names its files too, and none is written
    found = {
        kind: dict(tasks) for kind, tasks in _by_category(results, nowhere, data).items() if tasks
    }
    for figure in page_figures(results, known, nowhere, data=data):
        if figure.under != "shots":
            found[figure.task.name] = {"": figure.task}
    return found
