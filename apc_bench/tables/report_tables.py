"""Every table of a report, and its files."""

from collections.abc import Sequence
from pathlib import Path

from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.memorisation import Memorisation
from apc_bench.results.published import read_published
from apc_bench.results.run_reader import RunReader
from apc_bench.tables.ablation import ablation
from apc_bench.tables.accuracy import all_metrics, poster
from apc_bench.tables.answer import answer_table, types_table
from apc_bench.tables.by_shots import by_shots
from apc_bench.tables.costs import costs
from apc_bench.tables.differences import differences
from apc_bench.tables.gains import gains
from apc_bench.tables.latex import document, table_environment
from apc_bench.tables.memorisation import memorisation
from apc_bench.tables.missing import missing
from apc_bench.tables.per_category import every_value, per_category
from apc_bench.tables.ranks import ranks
from apc_bench.tables.render import comma_separated, markdown, parquet
from apc_bench.tables.table import Table
from apc_bench.tables.threshold import threshold

ANSWERS_FIRST = 3
"""Categories up to which their answers stand before all other tables."""


def report_tables(
    results: Results,
    run: RunReader,
    answers: Sequence[Answer],
    memorised: Sequence[Memorisation],
) -> list[Table]:
    """The tables in the order of the page, without those that the run gives no reason for.
    `answers`: of its categories; `memorised`: of its fine-tuned systems. The answers come first
    where there are few, since the poster's table is what a run of many categories is for.
    """
    published = read_published()
    answer = answer_table(results, answers)
    few = len(answers) <= ANSWERS_FIRST
    tables = [
        answer if few else None,
        poster(results, published),
        gains(results),
        None if few else answer,
        types_table(results, answers),
        by_shots(results),
        differences(results),
        ranks(results),
        per_category(results),
        threshold(results),
        memorisation(results, memorised),
        all_metrics(results, published),
        ablation(results),
        costs(results, run),
        missing(results),
    ]
    return [table for table in tables if table is not None]


def write_tables(tables: Sequence[Table], results: Results, folder: Path) -> None:
    """Writes each table as Markdown, CSV, LaTeX and Parquet, a LaTeX document of them all, and the
    CSV of every single value. Raises OSError; `folder` must not exist.
    """
    folder.mkdir()
    for table in tables:
        texts = {
            "md": markdown(table),
            "csv": comma_separated(table),
            "tex": table_environment(table),
        }
        for ending, text in texts.items():
            (folder / f"{table.name}.{ending}").write_text(text, encoding="utf-8")
        (folder / f"{table.name}.parquet").write_bytes(parquet(table))
    names = [table.name for table in tables]
    (folder / "all.tex").write_text(document(names), encoding="utf-8")
    values = every_value(results)
    (folder / f"{values.name}.csv").write_text(comma_separated(values), encoding="utf-8")
