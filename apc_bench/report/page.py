"""The page: everything of a report in one HTML file, pictures, styles and script included. Nothing
from the network, which its own policy forbids.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from apc_bench.metrics.catalogue import CATALOGUE, POSTER
from apc_bench.report.drilldown import LEGEND, NO_BANK
from apc_bench.report.extent import Extent
from apc_bench.report.figure_style import BLACK, Look, looks
from apc_bench.report.gain_heatmap import BETTER, WORSE
from apc_bench.report.image_scores import SEEDS_MAX
from apc_bench.report.opening import opening_trial
from apc_bench.report.page_record import command, exclusions, provenance
from apc_bench.report.pictures import colour_bar
from apc_bench.report.scaled_maps import HIGH, LOW, SCALE
from apc_bench.report.trial_links import TrialLinks
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.folders import reports_folder
from apc_bench.results.page_mark import drawn_by
from apc_bench.settings.listing import as_said_today
from apc_bench.tables.answer_in_words import answer_in_words
from apc_bench.tables.gains import gain_summaries
from apc_bench.tables.number_format import signed
from apc_bench.tables.table import Row, Table
from apc_bench.wording import counted, enumerated

SHORT = {
    "answer": "Answer",
    "poster": "Accuracy",
    "all_metrics": "All metrics",
    "gains": "Gain by category",
    "shots": "By shots",
    "differences": "Differences",
    "ranks": "Ranks",
    "per_category": "By category",
    "threshold": "Threshold",
    "types": "By defect type",
    "memorisation": "Memorisation",
    "ablation": "Settings",
    "cost": "Cost",
}
"""What the list of sections calls a table, where its title is too long for that."""


OPENING = "opening"
"""Under which a figure stands that belongs to the answer at the head of the page."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure that the page shows: its file `plots/NAME.*`, what it shows, and the table that it
    stands under (none: a section of its own).
    """

    name: str
    title: str
    svg: bytes
    under: str = ""


@dataclass(frozen=True, slots=True)
class Illustrations:
    """All that the page shows besides tables. `categories`: what drilldown.drilldown gave, in the
    order of the categories. `files`: of each category, (what, path from the page) of the figures
    made for papers. `extent`: how much of the run is drawn. `damaged`: what should have been shown
    and cannot be read.
    """

    plots: Sequence[Plot]
    categories: Sequence[Mapping[str, Any] | None]
    files: Mapping[str, Sequence[tuple[str, str]]]
    with_images: bool
    extent: Extent
    damaged: Sequence[str] = ()


def render_page(
    results: Results,
    tables: Sequence[Table],
    illustrations: Illustrations,
    answered: Sequence[Answer] = (),
) -> str:
    """The whole page; everything that a run may name is escaped."""
    templates = reports_folder() / "templates"
    script = (templates / "page.js").read_text(encoding="utf-8")
    by_name = {table.name: table.for_readers for table in tables}
    seeds = illustrations.extent.seeds
    links = TrialLinks(results, seeds)
    return (
        template_environment(templates)
        .get_template("page.html.j2")
        .render(
            results=results,
            summary=summary(results),
            answers=answer_in_words(results, answered),
            opening=[plot for plot in illustrations.plots if plot.under == OPENING],
            tables=[table for name, table in by_name.items() if name != "missing"],
            missing=by_name.get("missing"),
            short=SHORT,
            findings=list(_findings(results, links)),
            beside_the_answer=_beside_the_answer(results, answered),
            exclusions=list(exclusions(results, illustrations.damaged)),
            illustrations=illustrations,
            alone=[plot for plot in illustrations.plots if plot.under not in {*by_name, OPENING}],
            link_of=links.of_cell,
            seeds=seeds,
            scored_seeds=min(SEEDS_MAX, len(results.seeds)),
            page=_page_data(results, opening_trial(results, answered, seeds)),
            style=Markup((templates / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            digest=base64.b64encode(sha256(script.encode()).digest()).decode(),
            command=command(results),
            provenance=[("page drawn by", f"apc-bench {drawn_by()}"), *provenance(results)],
            settings=json.dumps(as_said_today(results.settings), indent=2, ensure_ascii=False),
        )
    )


def template_environment(templates: Path) -> Environment:
    """Reads the templates of this folder; what a value holds is escaped."""
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "address": quote,
        "json": _json,
        "heat": _heat,
        "svg": _svg,
        "blocks": _blocks,
    }
    return environment


def _blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that stand together, apart from the others by a rule."""
    return [list(block) for _, block in groupby(rows, key=lambda row: row.block)]


def _json(value: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _svg(picture: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"


def _heat(share: float) -> str:
    """The style of a cell by its gain; page.css mixes the colour into the paper's, light or
    dark.
    """
    return f"--heat: {BETTER if share > 0 else WORSE}; --share: {100 * min(1.0, abs(share)):.0f}%"


def _page_data(results: Results, opening: tuple[int, int, int] | None) -> dict[str, Any]:
    """What the script needs of the report as a whole. `opening`: the trial that it shows first."""
    return {
        "opening": opening,
        "seeds": len(results.seeds),
        "categories": results.categories,
        "systems": [system.label for system in results.systems],
        "methods": [_method(results, method, look) for method, look in looks(results).items()],
        "metrics": [CATALOGUE[metric].heading for metric in results.shown(POSTER)],
        "seed": results.seed_words[0],
        "scale": f"{SCALE}. {LEGEND}.",
        "bar": colour_bar(),
        "ends": [str(number).replace("-", "−") for number in range(LOW, HIGH + 1)],
        "noBank": NO_BANK,
    }


def _method(results: Results, method: str, look: Look) -> dict[str, Any]:
    """How the script draws a method, and the positions of its systems."""
    systems = {
        index: system for index, system in enumerate(results.systems) if system.method == method
    }
    first = next(iter(systems.values()))
    dashes = [str(2 * length) for length in look.dashes[1]]
    return {
        "name": first.title,
        "frozen": first.frozen,
        "colour": "var(--ink)" if look.colour == BLACK else look.colour,
        "dashes": " ".join(dashes) or "none",
        "systems": list(systems),
    }


def _beside_the_answer(results: Results, answered: Sequence[Answer]) -> str:
    """How the gains by category, which are in AUROC, are to be read beside the answer."""
    sentences = []
    if any(not answer.undefined for answer in answered):
        sentences.append(
            "AUROC says how well a system ranks, whatever the threshold; the answer above counts"
            " what a threshold finds, so the two may name other parts. Where they point apart, the"
            " answer says which to go by."
        )
    if answered and results.folded:
        sentences.append("These are means over folds; the answer pools all photos.")
    return " ".join(sentences)


Categories = list[tuple[str, str, str | None]]
"""(category, gain, address of its trial)."""


def _findings(
    results: Results, links: TrialLinks
) -> Iterator[tuple[str, list[tuple[str, Categories]]]]:
    """(system and metric, [(helps, hurts or no clear change, where)])."""
    for finding in gain_summaries(results):
        by_effect = {
            "helps": finding.helps,
            "hurts": finding.hurts,
            "no clear change": finding.unclear,
        }
        parts = []
        for effect, gains in by_effect.items():
            where = [
                (category, signed(gain.points), links.of_trial(finding.system, category))
                for category, gain in gains
            ]
            if where:
                parts.append((effect, where))
        mean = ", mean over folds" if results.folded else ""
        yield f"{finding.system.label}, {CATALOGUE[finding.metric].heading}{mean}", parts


def summary(results: Results) -> str:
    """What was run, in a sentence."""
    methods = dict.fromkeys(system.title for system in results.systems)
    categories = counted(len(results.categories), "category", "categories")
    size = f"{results.settings['image_size']} px, {results.settings['resize']}"
    shots = ""
    if results.shots:
        numbers = enumerated([str(number) for number in results.shots])
        shots = f", with {numbers} anomalous training images"
    seeds = counted(len(results.seeds), *results.seed_words)
    return (
        f"{enumerated(list(methods))} on {categories} of {results.dataset} at {size}{shots},"
        f" {seeds}: {_done(results)}."
    )


def _done(results: Results) -> str:
    total = results.planned
    missing = sum(len(results.missing(system)) for system in results.systems)
    if not missing:
        return f"all {total} trials are done"
    are = "is" if missing == 1 else "are"
    return f"{total - missing} of {total} trials are done, {missing} {are} missing"
