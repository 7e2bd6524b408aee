"""A table, or what is to be known of one, as a piece of HTML for a page of another's."""

from collections.abc import Mapping

from apc_bench.report.page import template_environment
from apc_bench.results.folders import reports_folder
from apc_bench.tables.table import Table


def table_fragment(table: Table, provenance: Mapping[str, str]) -> str:
    """The table as the page has it, its definitions, and where it comes from."""
    return _fragment(table.for_readers, provenance)


def facts_fragment(facts: Mapping[str, str]) -> str:
    """What (name -> text) is to be known, as a list."""
    return _fragment(None, facts)


def _fragment(table: Table | None, facts: Mapping[str, str]) -> str:
    template = template_environment(reports_folder() / "templates").get_template("notebook.html.j2")
    return template.render(table=table, facts=facts, link_of=_no_link)


def _no_link(*_of_cell: object) -> None:
    """A notebook has no pictures of the trials to lead to."""
