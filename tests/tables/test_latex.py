"""Tables as LaTeX: names do no harm, and pdflatex takes them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.tables.latex import ROWS_OF_A_PAGE, document, escape, table_environment
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
