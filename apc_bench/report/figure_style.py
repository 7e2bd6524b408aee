"""What all figures share: colours that colour-blind readers can tell apart, type, and files that
are the same bytes for the same run.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from apc_bench.results.aggregate import Results

# Okabe and Ito's palette: black for the baseline, the pale yellow left out.
BLACK = "#000000"
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
Dashes = tuple[float, tuple[float, ...]]
SOLID: Dashes = (0, ())
DASHES: tuple[Dashes, ...] = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)), (0, (9, 3)))

STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "figure.titlesize": 8.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.4,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,
    "svg.hashsalt": "apc-bench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "figure.constrained_layout.w_pad": 0.04,
    "figure.constrained_layout.h_pad": 0.03,
}
DPI = 300
SCREEN_DPI = 150
COLUMN = 3.5
"""Inches: the width of a column in the field's papers, at which the type below is 7 to 8.5
points.
"""
_CANVASES: dict[str, type[FigureCanvasBase]] = {
    "png": FigureCanvasAgg,
    "svg": FigureCanvasSVG,
    "pdf": FigureCanvasPdf,
}
FORMATS = ("svg", "pdf")
WITH_PNG = ("png", *FORMATS)
"""Of a figure that people paste into a message. The canvases of vectors set a figure's dots per
inch, so they come last.
"""
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn, in every figure of a report."""

    colour: str
    marker: str
    dashes: Dashes


def looks(results: Results) -> dict[str, Look]:
    """Method -> look: the baseline black, the others in the palette by the order of the job;
    fine-tuned methods solid, frozen ones dashed.
    """
    frozen = {system.method for system in results.systems if system.frozen}
    names = list(dict.fromkeys(system.method for system in results.systems))
    drawn = {}
    if results.baseline:
        names.remove(results.baseline.method)
        drawn[results.baseline.method] = Look(BLACK, "", DASHES[0])
    dashed = [name for name in names if name in frozen]
    for index, name in enumerate(names):
        colour = index % len(COLOURS)
        dashes = DASHES[(dashed.index(name) + 1) % len(DASHES)] if name in frozen else SOLID
        drawn[name] = Look(COLOURS[colour], MARKERS[colour], dashes)
    return drawn


class ReportFigure(Figure):
    """A figure that is saved in the style of a report whoever saves it, and that Jupyter shows.
    `definitions` and `provenance`: what its numbers are, and where they come from, by name.
    """

    definitions: Mapping[str, str] = MappingProxyType({})
    provenance: Mapping[str, str] = MappingProxyType({})

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib has it, but for the style."""
        with style(), _glyphs_as_boxes():
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=SCREEN_DPI)
        return out.getvalue()


def style() -> AbstractContextManager[None]:
    """Wherever a figure is made or saved: its settings, whatever the user's matplotlibrc says."""
    return rc_context(STYLE)


def title_of(text: str) -> str:
    """A figure's title, in as many lines as a column needs; `5 %` stays together."""
    return textwrap.fill(text.replace(" %", "\N{NO-BREAK SPACE}%"), 46)


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all axes, outside of them, with as many columns as the names leave room
    for.
    """
    entries: dict[str, Artist] = {}
    for axis in axes:
        handles, names = axis.get_legend_handles_labels()
        entries.update(zip(names, handles, strict=True))
    if not entries:
        return
    labels = [textwrap.fill(label, 48) for label in entries]
    widest = max(len(line) for label in labels for line in label.splitlines())
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 16 / (widest + 6))))
    if columns == 1:  # room for the names, not taken from the axes
        lines = sum(label.count("\n") + 1 for label in labels)
        figure.set_figheight(figure.get_figheight() + 0.14 * (lines - 1))
    figure.legend(list(entries.values()), labels, loc="outside lower center", ncols=columns)


def save(
    figure: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS, *, dpi: int = DPI
) -> None:
    """Writes `name.png`, `name.svg` and `name.pdf` without dates or versions in them."""
    folder.mkdir(parents=True, exist_ok=True)
    with style(), _glyphs_as_boxes():
        figure.set_dpi(dpi)
        _fix_layout(figure)
        for format_ in formats:
            # The canvas itself, since Figure.savefig draws everything twice.
            canvas, path = _CANVASES[format_](figure), folder / f"{name}.{format_}"
            getattr(canvas, f"print_{format_}")(path, metadata=_METADATA[format_])


@contextmanager
def _glyphs_as_boxes() -> Iterator[None]:
    """Signs that the font lacks are drawn as boxes, and nothing is said of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _fix_layout(figure: Figure) -> None:
    """Finds the layout once, not once a format, and rounds it: the solver's last bits depend on the
    order of its objects in memory.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axis in figure.axes:
        bounds = axis.get_position(original=True).bounds
        left, bottom, width, height = (round(edge, 6) for edge in bounds)
        axis.set_position((left, bottom, width, height))
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position((round(x, 6), round(y, 6)))


def file_name(name: str) -> str:
    """A name as a safe file name: anything but letters, digits, `.`, `_` and `-` replaced, with a
    digest so that no two names meet.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    if safe == name and not name.startswith("."):
        return name
    return f"{safe.lstrip('.-')[:60]}-{sha256(name.encode()).hexdigest()[:8]}"
