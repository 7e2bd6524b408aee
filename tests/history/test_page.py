"""`apc-bench history` on folders of recorded nights: what changed and when, what is not whole, and
a page that needs nothing else.
"""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from recorded import Row, noisy, record
from support import apc_bench

from apc_bench.metrics.catalogue import METRICS, STAGES
from apc_bench.store.files import read_table, write_table

CHANGED = 8
NIGHTS = 12


@pytest.fixture(scope="module")
def run(small_run) -> Path:
    return small_run


def night_of(night: int, amount: float = -0.05):
    """Noise, and from night CHANGED on a lower pixel AUROC of APC on weave and a slower bank."""

    def change(row: Row) -> None:
        noisy(night, metrics=METRICS)(row)
        for index, stage in enumerate(STAGES):
            row[f"seconds_{stage}"] = 1.0 + 0.01 * ((night * 7 + index * 3 + row["seed"]) % 5)
        if night >= CHANGED:
            row["seconds_bank"] *= 2
            if (row["method"], row["category"]) == ("apc", "weave"):
                row["pixel_auroc"] += amount

    return change


@pytest.fixture(scope="module")
def nights(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nights")
    for night in range(NIGHTS):
        code = {"commit": "aaaaaaa1" if night < CHANGED else "bbbbbbb2", "dirty": False}
        record(
            run,
            folder / f"night-{night:02d}",
            night_of(night),
            day=night + 1,
            environment={"git": code},
        )
    return folder


class Parsed(HTMLParser):
    """Tags, addresses and text of a page; raises where a tag closes what is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(path: Path) -> Parsed:
    page = Parsed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_a_change_is_named_with_its_night_its_levels_and_the_revisions_between(nights):
    told = apc_bench("history", nights).output
    changes = [line for line in told.splitlines() if "WORSE" in line]
    assert any(
        "APC, 2 shots · AUROC_px, % · weave" in line and "code aaaaaaa → bbbbbbb" in line
        for line in changes
    )
    assert any("PatchCore · bank, s a trial" in line for line in changes)
    assert all(line.startswith("2026-10-09") for line in changes), told
    assert not any(
        "PatchCore · AUROC" in line or "washer" in line or "F1" in line for line in changes
    ), told
    page = parsed(nights / "history.html")
    assert "night-07 → night-08" in page.text and "code aaaaaaa → bbbbbbb" in page.text


def test_the_page_needs_nothing_else_and_every_metric_and_stage_is_on_it(nights, tmp_path):
    apc_bench("history", nights, "--out", tmp_path / "page.html")
    page = parsed(tmp_path / "page.html")
    assert "script" not in page.tags and page.addresses == ["data:,"]
    for name in (
        "AUROC_im",
        "F1_im",
        "AP_im",
        "AUROC_px",
        "F1_px",
        "AP_px",
        "AU-PRO",
        *STAGES[:-1],
        "whole trial",
        "fine-tuning",
        "peak memory",
    ):
        assert name in page.text
    assert page.tags.count("polygon") >= 2 * (len(METRICS) + len(STAGES)), (
        "every series has its band"
    )
    text = (tmp_path / "page.html").read_text()
    assert not any(word in text for word in ("nan", "inf,", "http://", "https://"))
    apc_bench("history", nights, "--out", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()


def test_damaged_and_half_finished_nights_are_named_and_leave_a_gap(run, tmp_path):
    for night in range(4):
        record(run, tmp_path / f"night-{night}", noisy(night), day=night + 1)
    path = next((tmp_path / "night-1").glob("metrics/*/*/apc/**/seed-0/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    next((tmp_path / "night-2").glob("metrics/*/*/patchcore/**/seed-1/*.parquet")).unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "empty").mkdir()
    told = apc_bench("history", tmp_path).output
    page = parsed(tmp_path / "history.html")
    for words in (
        str(path),
        "night-2: planned trials without a result: 1",
        "broken: ",
        "empty: no run folder",
    ):
        assert words in told and words in page.text
    assert "PatchCore: missing" in (tmp_path / "history.html").read_text()


def test_names_that_are_markup_stay_text(run, tmp_path):
    name = "<script>alert(1)</script>\"'&"
    for night in range(2):
        folder = record(
            run,
            tmp_path / "nights" / f"<img src=x onerror=y> {night}",
            noisy(night),
            day=night + 1,
            environment={"apc_bench": name},
        )
        table, metadata = read_table(folder / "plan.parquet")
        metadata.pop("schema")
        rows = [{**row, "title": name + row["title"]} for row in table.to_pylist()]
        write_table(folder / "plan.parquet", pa.Table.from_pylist(rows, table.schema), metadata)
    apc_bench("history", tmp_path / "nights", "--out", tmp_path / "page.html")
    page = parsed(tmp_path / "page.html")
    assert "script" not in page.tags and "img" not in page.tags
    assert name in page.text and "<img src=x onerror=y> 1" in page.text


def test_one_night_of_one_seed_makes_a_page(tmp_path):
    options = (
        "--job",
        "tiny",
        "--executor",
        "serial",
        "--methods",
        "patchcore",
        "--categories",
        "weave",
        "--seeds",
        "0",
        "--no-page",
    )
    apc_bench("sweep", *options, "--run", tmp_path / "nights" / "first", "--cache", tmp_path / "c")
    assert apc_bench("history", tmp_path / "nights").output.startswith("1 night, ")
    assert parsed(tmp_path / "nights" / "history.html").tags.count("circle") > len(METRICS)


def test_a_night_with_other_images_or_settings_says_so(run, tmp_path):
    record(run, tmp_path / "a", noisy(0), day=1)
    record(run, tmp_path / "b", noisy(1), day=2, fingerprints={"weave": "0" * 16})
    apc_bench("history", tmp_path)
    assert "the images of weave" in parsed(tmp_path / "history.html").text


def test_a_folder_without_a_run_is_one_line(tmp_path):
    assert "holds no run that can be read" in apc_bench("history", tmp_path, code=2).output
    assert "is no folder" in apc_bench("history", tmp_path / "absent", code=2).output


def test_a_run_of_another_protocol_is_no_night_of_the_series_and_is_named(run, tmp_path):
    settings = json.loads((run / "run.json").read_text())["settings"]
    folder = tmp_path / "nights"
    for night in range(3):
        record(run, folder / f"night-{night}", noisy(night, metrics=METRICS), day=night + 2)
    folded = {**settings, "protocol": "crossfit", "folds": 3}
    record(run, folder / "folded", day=1, settings=folded)
    told = apc_bench("history", folder).output
    assert "3 nights" in told
    other = "folded: is of synthetic under crossfit, and this of synthetic under holdout"
    assert other in told
    shutil.rmtree(folder / "night-0")
    shutil.rmtree(folder / "night-1")
    judged = apc_bench("gate", folder / "night-2", "--against", folder, code=3).output
    assert other in judged
    assert "there is no recorded run to judge against yet" in judged
