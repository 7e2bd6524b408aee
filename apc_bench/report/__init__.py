"""What a run found, for people: tables, plots, a gallery and a page, made of the run's files (and
of the images, where they are at hand).
"""

from apc_bench.report.extent import extent_of
from apc_bench.report.write import write_report
from apc_bench.results.answer import answers
from apc_bench.results.folders import reports_folder
from apc_bench.results.like_normal import with_types_like_normal
from apc_bench.results.page_mark import current_page, page_since
from apc_bench.results.reading import read_results
from apc_bench.tables.answer_in_words import answer_in_words
from apc_bench.tables.terminal import remarks, terminal_table

__all__ = [
    "answer_in_words",
    "answers",
    "current_page",
    "extent_of",
    "page_since",
    "read_results",
    "remarks",
    "reports_folder",
    "terminal_table",
    "with_types_like_normal",
    "write_report",
]
