"""The sample report in the repository: that of the table in docs/measured.md, and without a picture that is not
ours to publish.
"""

import json
import re
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "reports" / "magnetic_tiles"


def test_the_documented_table_is_the_samples() -> None:
    page = (ROOT / "docs" / "measured.md").read_text()
    section = page[page.index("## Real images: magnetic tiles") :].split("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.* ± .*) \|$", section, re.MULTILINE)
    table = pl.read_csv(SAMPLE / "tables" / "poster.csv").filter(pl.col("test_set") == "common")
    assert len(rows) == len(table) == 5
    for (system, shots, figures), row in zip(rows, table.iter_rows(named=True), strict=True):
        assert (system, shots) == (row["system"], str(row["shots"] or "–"))
        shown = figures.replace("*", "").split(" | ")
        names = ("image_auroc", "image_f1_max", "pixel_auroc", "pixel_f1_max")
        assert shown == [
            f"{row[f'{name}_percent']:.2f} ± {row[f'{name}_sd']:.2f}" for name in names
        ]


def test_the_sample_shows_no_image_of_the_dataset() -> None:
    page = (SAMPLE / "index.html").read_text()
    pictures = json.loads(re.search(r'id="category-0">(.*?)</script>', page)[1])["pictures"]  # type: ignore[index]
    assert "image not at hand" in pictures
    assert "data:image/jpeg" not in page  # photos are JPEG; maps and empty masks are not
    files = [path for path in SAMPLE.rglob("*") if path.is_file() and path.suffix != ".csv"]
    assert sum(path.stat().st_size for path in files) < 3e6  # text of scores grows with the trials
