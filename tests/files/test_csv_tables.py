"""CSV files as people have them: every field under its own name, every number the one that was
meant, or a line that names file and line.
"""

from pathlib import Path

import pytest

from apc_bench.errors import DataError
from apc_bench.files.csv_tables import decimal_sign, number, read_csv_table

PLAIN = "image,group\na.png,g1\nb.png,g2\n"
READ = [("a.png", "g1"), ("b.png", "g2")]


def table_of(tmp_path: Path, content: str | bytes):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv_table(path)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        PLAIN + "\n\r\n ,\n",
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        '"image", group\n a.png ,"g1"\n"b.png", g2 \n',
        "\n" + PLAIN,
    ],
)
def test_a_table_reads_alike_however_a_program_wrote_it(tmp_path, content):
    table = table_of(tmp_path, content)
    assert table.columns == ("image", "group")
    assert [(row.cells["image"], row.cells["group"]) for row in table.rows] == READ


def test_lines_are_those_of_the_file_and_quotes_keep_separators(tmp_path):
    table = table_of(tmp_path, '\n,image,note\n\n0,"a, b.png","two\nlines"\n1,c.png,"d ""e"""\n')
    assert [row.where for row in table.rows] == ["line 5", "line 6"]
    assert [row.cells["image"] for row in table.rows] == ["a, b.png", "c.png"]
    assert table.rows[1].cells["note"] == 'd "e"'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,score\na.png,1.5\nb.png,0,5\n",
            r"line 3: 3 fields .* header has 2; a decimal comma",
        ),
        ("image,score\na.png\n", "line 2: 1 fields separated by commas, but the header has 2"),
        ("image;score\na.png,0.5\n", "line 2: 1 fields separated by semicolons"),
        ("image,score\na.png;0,5\nb.png;0,7\n", "rows are separated by semicolons, the header by"),
        ("image,score,\na.png,0,5\n", "line 2: '5' stands in a column without a name"),
        ("image,Score,score\na.png,1,2\n", "line 1: two columns are called Score, score"),
        ('image,score\n"a.png,1\nb.png,2\n', "line 3: not a CSV file: unexpected end of data"),
        ('image,score\n"a"b.png,1\n', "line 2: not a CSV file"),
        ("image;AUROC, %\na.png;95,0\n", "its header holds commas and semicolons"),
        ("caf\xe9,x\n".encode("latin-1"), "not a CSV file in UTF-8 .line 1.; save it as such"),
        (PLAIN.encode("utf-16-le"), "not a CSV file in UTF-8: it holds NUL"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
    ],
)
def test_what_would_stand_under_another_name_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        table_of(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "x.csv")) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["0.5", "1e-3", "-2", "+.5", "7."], [0.5, 1e-3, -2.0, 0.5, 7.0]),
        (["0,5", "12,345", "7"], [0.5, 12.345, 7.0]),
        (["95,00", "100"], [95.0, 100.0]),
        (["nan", "inf", "1_000", "", "٣", "0x1", "1.000,5"], [None] * 7),
    ],
)
def test_numbers_have_one_decimal_sign(texts, values):
    sign = decimal_sign(
        Path("x.csv"), [(f"line {line}", text) for line, text in enumerate(texts, 2)]
    )
    assert [number(text, sign) for text in texts] == values


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["0,5", "0.7"], "line 2: '0,5' has a decimal comma, '0.7' in line 3 a point"),
        (["12,345", "8"], "line 2: the comma of '12,345' may part decimals or thousands"),
    ],
)
def test_a_comma_that_may_mean_two_things_is_refused(texts, message):
    with pytest.raises(DataError, match=message):
        decimal_sign(Path("x.csv"), [(f"line {line}", text) for line, text in enumerate(texts, 2)])


def test_fields_separated_by_commas_hold_no_decimal_comma():
    assert number("0,5") is None and number("1,234") is None
