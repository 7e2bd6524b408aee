import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from apc_bench.report import terminal_table
from apc_bench.results.reading import read_results
from apc_bench.tables.latex import ROWS_OF_A_PAGE, document, escape, table_environment
from apc_bench.tables.render import comma_separated, markdown
from apc_bench.tables.table import Cell, Column, Note, Row, Table

NASTY = (
    "<script>alert(1)</script> | *a* _b_ `c` [d](e) 50 % & #1 $x_1$ {y} ~^\\ \"q\" 'z' Größe 中文"
)
line = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


def small(text: str, *, best: bool = False, blocks: int = 1, rows: int = 1) -> Table:
    columns = (Column("System", ("system",), numeric=False), Column("AUROC_im", ("auroc", "sd")))
    cells = (Cell(text, (text,)), Cell("98.83 ± 0.10", (98.8312345, 0.1), best))
    all_rows = tuple(Row(cells, str(block)) for block in range(blocks) for _ in range(rows))
    return Table("small_table", text, columns, all_rows, (Note("Note", text),))


@given(line)
def test_no_text_breaks_a_markdown_row(text: str) -> None:
    lines = markdown(small(text)).splitlines()
    table = [row for row in lines if row.startswith("|")]
    assert len(table) == 3
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in table} == {3}


def test_markdown_shows_names_as_they_are() -> None:
    text = markdown(small(NASTY, best=True))
    assert "<script>" not in text
    assert r"\*a\* \_b\_ \`c\` \[d\](e)" in text
    assert r"\$x_1\$" in text
    assert "| **98.83 ± 0.10** |" in text
    assert "AUROC_im" in text
    assert "|:--|--:|" in text


@given(line)
def test_csv_gives_back_the_unrounded_values(text: str) -> None:
    read = list(csv.reader(io.StringIO(comma_separated(small(text)))))
    assert read == [["system", "auroc", "sd"], [text, "98.8312345", "0.1"]]


def test_csv_leaves_missing_values_empty() -> None:
    table = Table("t", "t", (Column("a", ("a", "b")),), (Row((Cell("–", (None, 0)),)),), ())
    assert comma_separated(table) == "a,b\n,0\n"


@given(line)
def test_no_text_reaches_latex_as_a_command(text: str) -> None:
    escaped = escape(text)
    plain = re.sub(
        r"\\(?:text[a-z]+|ldots)\{\}|\\[{}$&%#_]|\$\\?[a-z^2-3-]+\$|\$-\$|\{[\[*]\}|[-,]\{\}",
        "",
        escaped,
    )
    assert not set(plain) & set('\\{}$&%#_~^"`')


def test_latex_has_booktabs_rules_and_one_rule_between_blocks() -> None:
    text = table_environment(small("a", best=True, blocks=3))
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 3, 1]
    assert r"\textbf{98.83 $\pm$ 0.10}" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"\label{tab:small_table}" in text


def test_a_table_too_long_for_a_page_is_parted_at_its_blocks() -> None:
    text = table_environment(small("a", blocks=3, rows=ROWS_OF_A_PAGE // 2))
    assert text.count(r"\begin{table}") == 2
    assert r"\caption{a (1 of 2)}" in text
    assert text.count(r"98.83") == 3 * (ROWS_OF_A_PAGE // 2)
    assert len(set(re.findall(r"\\label\{[^}]*\}", text))) == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_latex_document_compiles_with_every_letter_and_sign(tmp_path: Path) -> None:
    every = "".join(map(chr, range(32, 0x180))) + "–—…±×−≤≥→·ασμ"
    rows = tuple(
        Row((Cell(text, (None,)), Cell("1", (1, None))))
        for text in (NASTY, every, "[x", "*", "--- ,, ?` '' <<>>", "日本")
    )
    columns = small("").columns
    (tmp_path / "a_b.tex").write_text(
        table_environment(Table("a_b", NASTY, columns, rows, (Note(NASTY, every),))),
        encoding="utf-8",
    )
    (tmp_path / "c.tex").write_text(
        table_environment(small("c", blocks=4, rows=20)), encoding="utf-8"
    )
    (tmp_path / "all.tex").write_text(document(["a_b", "c"]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert b"Missing character" not in (tmp_path / "all.log").read_bytes()
    assert b"too large" not in (tmp_path / "all.log").read_bytes()


def test_the_terminals_table_fits_80_characters_and_takes_no_markup_from_names(
    make_run: Callable[..., Any],
) -> None:
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "[b]PC[/b]"},
        "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
    }
    run = make_run(methods=methods, detail=False)
    run.drop("apc", "weave", 5, 1)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(terminal_table(read_results(run)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[b]PC[/b]" in shown
    assert "…" not in shown
    assert "Missing trials: 1" in shown
    values = [run.value("patchcore", "granite", 0, seed, "image_auroc") for seed in (0, 1, 2)]
    assert f"{100 * sum(values) / 3:.2f}" in shown
