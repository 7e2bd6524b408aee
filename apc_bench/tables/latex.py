"""Tables as LaTeX with booktabs: one environment a file, and one document that holds them all."""

import re
from collections.abc import Sequence
from itertools import groupby

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from apc_bench.results.folders import reports_folder
from apc_bench.tables.table import Row, Table

ROWS_OF_A_PAGE = 28

_LETTERS = re.compile("[À-ÖØ-öø-ćČ-đĒ-ĕĖ-ğĢ-ģĨ-ıĴ-ķĹ-ľŁ-ňŊ-őŒ-ţŤ-ťŨ-ž]")
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # at the start of a row it would be an argument of the row before
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "·": r"$\cdot$",
    "α": r"$\alpha$",
    "σ": r"$\sigma$",
    "μ": r"$\mu$",
    "µ": r"\textmu{}",
    "²": r"$^2$",
    "³": r"$^3$",
    "°": r"\textdegree{}",
}


def escape(text: str) -> str:
    """Text that LaTeX sets as it is: letters of Western and Central Europe directly, any other
    character as its code point `[U+4E2D]`.
    """
    plain = "".join(
        _SPECIAL.get(character) or _letter(character) for character in " ".join(text.split())
    )
    return re.sub(r"([-,])(?=\1)", r"\1{}", plain)  # no ligatures: -- would become a dash


def _letter(character: str) -> str:
    # What \usepackage[T1]{fontenc} and pdflatex's UTF-8 input know without further packages.
    known = (character.isascii() and character.isprintable()) or _LETTERS.match(character)
    return character if known else f"{{[}}U+{ord(character):04X}]"


def table_environment(table: Table) -> str:
    """One or more `table` environments: a table too long for a page is parted where its blocks end.
    Needs booktabs and graphicx.
    """
    template, table = _templates().get_template("table.tex.j2"), table.for_readers
    parts = _parts(table.rows)
    return "\n".join(
        template.render(
            table=table,
            blocks=blocks,
            part=f"({number} of {len(parts)})" if len(parts) > 1 else "",
            number=number,
        )
        for number, blocks in enumerate(parts, 1)
    )


def document(names: Sequence[str]) -> str:
    """A document that inputs the tables of these names; compiles in their folder."""
    return _templates().get_template("all.tex.j2").render(names=names)


def _parts(rows: Sequence[Row]) -> list[list[list[Row]]]:
    """Blocks of rows, dealt onto as many tables as are needed."""
    parts: list[list[list[Row]]] = [[]]
    for _, grouped in groupby(rows, key=lambda row: row.block):
        block = list(grouped)
        if parts[-1] and sum(len(other) for other in parts[-1]) + len(block) > ROWS_OF_A_PAGE:
            parts.append([])
        parts[-1].append(block)
    return parts


def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(reports_folder() / "templates"),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else escape(str(value)),
        autoescape=False,
    )
