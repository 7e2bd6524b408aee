import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from apc_bench.errors import StorageError, UsageError
from apc_bench.plan import EXTRACTOR, TRIAL, Step
from apc_bench.report import write_report
from apc_bench.results.folders import reports_folder
from apc_bench.settings.sweep import Method
from apc_bench.store import attempts
from apc_bench.store.run import Run
from apc_bench.store.schemas import CURVES, METRICS_TABLE, SCORES, maps_schema
from apc_bench.store.trials import TrialResult

Make = Callable[..., Any]
NASTY = "<script>alert(1)</script>"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Page(HTMLParser):
    """Tags that are open at the end, links and pictures, text, and names of all elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.ids: list[str] = []
        self.scripts: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag == "script":
            self.scripts.append(dict(attrs).get("type"))
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def small(make_run: Make, **options: Any) -> Any:
    return make_run(**{"shots": (1, 10), "seeds": (0, 1), "tests": 4, **options})


def test_a_report_is_whole_and_its_page_needs_nothing_but_its_own_files(
    make_run: Make, with_images: Any
) -> None:
    run = small(make_run)
    page = write_report(run, data=with_images(run))
    assert page == run.path / "report" / "index.html"
    files = contents(page.parent)
    names = (
        "poster",
        "gains",
        "shots",
        "all_metrics",
        "per_category",
        "threshold",
        "cost",
        "differences",
        "memorisation",
    )
    assert {
        f"tables/{name}.{ending}" for name in names for ending in ("md", "csv", "parquet", "tex")
    } <= set(files)
    assert {
        "tables/all.tex",
        "tables/per_category_wide.csv",
        "gallery/granite.png",
        "gallery/weave.png",
    } <= set(files)
    plots = ("shots", "shots_granite", "shots_weave", "curves_granite", "curves_weave")
    assert {
        f"plots/{name}.{ending}"
        for name in (*plots, "gains", "memorisation")
        for ending in ("svg", "pdf")
    } | {
        "plots/shots.png",
        "plots/memorisation.png",
    } <= set(files)
    assert {"scores/granite.csv", "scores/weave.csv"} <= set(files)
    parsed = Page(files["index.html"].decode())
    assert parsed.open == []
    assert parsed.names & {"iframe", "object", "embed", "base"} == set()
    assert parsed.scripts == [
        "application/json",
        "application/json",
        "application/json",
        None,
    ]  # ours is the one that runs
    assert set(re.findall(rb"(?:@import|url\(|https?:)[^\"]*", files["index.html"])) == {
        b"http://www.w3.org/2000/svg"
    }
    assert len(set(parsed.ids)) == len(parsed.ids)
    for link in parsed.links:
        parts = urlsplit(link)
        if parts.scheme == "data" or link.startswith("#images/"):
            continue
        assert not parts.scheme
        assert not parts.netloc
        assert unquote(parts.path) in files if parts.path else parts.fragment in parsed.ids


def test_the_same_run_gives_the_same_bytes(
    make_run: Make, with_images: Any, tmp_path: Path
) -> None:
    run = small(make_run, categories=("weave",))
    data = with_images(run)
    first = contents(write_report(run, data=data, out=tmp_path / "a").parent)
    run.metric_rows.reverse()
    run.plan_rows.reverse()
    second = contents(write_report(run, data=data, out=tmp_path / "b").parent)
    assert [name for name in first if first[name] != second.get(name)] == []
    assert set(first) == set(second)


def test_names_do_no_harm(make_run: Make, tmp_path: Path) -> None:
    methods = {
        "patchcore": {
            "detector": "patchcore",
            "backbone": "builtin",
            "title": f"{NASTY} \"q\" 'z' $x_1$ 100 % | Größe",
        },
        "apc": {"detector": "apc", "backbone": "builtin", "title": "../../APC & co"},
    }
    run = small(make_run, categories=(f"../{NASTY}", "größe mit raum"), methods=methods, seeds=(0,))
    run.run_json["environment"]["command"] = ["apc-bench", "sweep", "--run", f"{NASTY} it's"]
    run.drop("apc", f"../{NASTY}", 1, 0, f"{NASTY}\nsecond line")
    out = tmp_path / "deep" / "report"
    page = write_report(run, data=None, out=out)
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"report"}
    parsed = Page(page.read_text())
    assert parsed.open == []
    assert [kind for kind in parsed.scripts if kind is None] == [None]
    assert page.read_text().count("<script>") == 1
    for text in (NASTY, "../../APC & co", "größe mit raum", f"{NASTY} second line"):
        assert text in parsed.text
    assert "'<script>alert(1)</script> it'\"'\"'s'" in parsed.text
    for path in out.rglob("*.md"):
        assert "<script" not in path.read_text()
    check_latex(out / "tables")
    assert all(path.name.isascii() for path in out.rglob("*"))


def check_latex(folder: Path) -> None:
    """Every table parses: what is opened is closed, every row has a cell for each column; and where
    pdflatex is installed, all of them compile.
    """
    for path in sorted(folder.glob("*.tex")):
        text = path.read_text()
        plain = re.sub(r"\\\\|\\[{}$&%#_]", lambda found: "\n" if found[0] == "\\\\" else "", text)
        assert plain.count("{") == plain.count("}")
        assert Counter(re.findall(r"\\begin\{(\w+\*?)\}", text)) == Counter(
            re.findall(r"\\end\{(\w+\*?)\}", text)
        )
        for columns, body in re.findall(
            r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", plain, re.DOTALL
        ):
            rows = [
                line
                for line in re.sub(r"\\(?:top|mid|bottom)rule", "", body).split("\n\n")
                if line.strip()
            ]
            assert {row.count("&") for row in rows} == {len(columns) - 1}
    if shutil.which("pdflatex"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
        assert b"Missing character" not in (folder / "all.log").read_bytes()


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what surrounds the pictures, which take most of a report's time."""
    monkeypatch.setattr(
        "apc_bench.report.write.performed",
        lambda tasks, *_: nullcontext(iter([None] * len(tasks))),
    )


@pytest.mark.usefixtures("without_pictures")
def test_a_report_replaces_an_older_one_and_leaves_nothing_beside(make_run: Make) -> None:
    run = small(make_run)
    page = write_report(run, data=None)
    (page.parent / "tables" / "old.md").write_text("old")
    before = {path.name for path in run.path.iterdir()}
    write_report(run, data=None)
    assert not (page.parent / "tables" / "old.md").exists()
    assert {path.name for path in run.path.iterdir()} == before == {"report"}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_place_with_other_things_is_left_alone(make_run: Make, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "precious"
    if kind == "folder":
        out.mkdir()
        (out / "photo.png").write_bytes(b"1")
    else:
        out.write_bytes(b"1")
    with pytest.raises(UsageError, match="precious is there already and is no report"):
        write_report(small(make_run), data=None, out=out)
    assert (out / "photo.png" if kind == "folder" else out).read_bytes() == b"1"


@pytest.mark.usefixtures("without_pictures")
def test_a_failed_report_leaves_the_older_one_as_it_was(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small(make_run)
    before = contents(write_report(run, data=None).parent)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("apc_bench.report.write.render_page", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_report(run, data=None)
    assert contents(run.path / "report") == before
    assert [path.name for path in run.path.iterdir()] == ["report"]


@pytest.mark.usefixtures("without_pictures")
def test_the_page_shows_the_exact_command_the_failures_and_where_results_come_from(
    make_run: Make,
) -> None:
    run = small(make_run)
    run.drop("apc", "weave", 10, 1, "TrainingError: loss is nan", kind="extractor")
    text = Page(write_report(run, data=None).read_text()).text
    assert "apc-bench sweep --run 'a b'" in text
    assert "its fine-tuning failed: TrainingError: loss is nan" in text
    assert "11 of 12 trials are done, 1 is missing" in text
    for value in ("2.15.0", "ab" * 32, "cpu/avx2", "2025-01-02T03:04:05+00:00"):
        assert value in text


def test_the_page_shows_memorisation_where_something_was_fine_tuned(make_run: Make) -> None:
    page = Page(write_report(small(make_run, categories=("weave",)), data=None).read_text())
    assert "memorisation-section" in page.ids
    assert "plots/memorisation.svg" in page.links
    assert "Drawn images far above unseen anomalies: the detector has memorised" in page.text
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"}}
    report = write_report(small(make_run, categories=("weave",), methods=only), data=None)
    assert "memoris" not in report.read_text().lower()
    assert list(report.parent.rglob("memorisation*")) == []


def test_a_single_category_and_seed_make_a_report_too(make_run: Make) -> None:
    run = small(make_run, categories=("weave",), seeds=(3,), shots=(10,))
    page = write_report(run, data=None)
    assert not (page.parent / "plots" / "shots.svg").exists()
    assert "no claim" in (page.parent / "tables" / "differences.md").read_text()


def test_a_run_of_which_nothing_is_done_yet_makes_a_report_too(make_run: Make) -> None:
    run = small(make_run, detail=False)
    run.metric_rows = []
    page = write_report(run, data=None)
    text = Page(page.read_text()).text
    assert "0 of 12 trials are done, 12 are missing" in text
    assert "No trial has scores and maps that can be read." in text
    assert "–" in (page.parent / "tables" / "poster.md").read_text()


def write_run(fabricated: Any, path: Path) -> Run:
    """The fabricated run as files, through the store's own writer."""
    run = Run(path)
    run.write_info(fabricated.info)
    steps = {row["result_key"]: step_of(row) for row in fabricated.plan_rows}
    run.planned.add(steps.values())
    for category in fabricated.split_rows:
        for seed in (0, 1):
            run.splits.write(fabricated.split(category, seed))
    for key in fabricated.score_rows:
        names, maps = fabricated.anomaly_maps[key]
        rows, columns = maps.shape[1:]
        flat = pa.FixedSizeListArray.from_arrays(
            pa.array(maps.astype(np.float16).reshape(-1)), rows * columns
        )
        metrics = [row for row in fabricated.metric_rows if row["result_key"] == key]
        run.trials.write(
            steps[key],
            TrialResult(
                scores=pa.Table.from_pylist(fabricated.score_rows[key], SCORES),
                maps=pa.Table.from_arrays(
                    [pa.array(names), flat], schema=maps_schema((rows, columns))
                ),
                map_metadata={"grid": f"{rows}x{columns}", "scale": "1.0"},
                curves=pa.Table.from_pylist(fabricated.curve_rows[key], CURVES),
                metrics=pa.Table.from_pylist(metrics, METRICS_TABLE),
            ),
        )
    return run


def step_of(row: dict[str, Any]) -> Step:
    kind = EXTRACTOR if row["kind"] == "extractor" else TRIAL
    names = ("trial_id", "result_key", "dataset", "category", "method", "shots", "seed", "needs")
    settings = Method(detector=row["detector"], backbone=row["backbone"], title=row["title"])
    return Step(kind=kind, settings=settings, macs=1.0, **{name: row[name] for name in names})


def test_a_run_folder_on_disk_gives_the_report_of_its_numbers(
    make_run: Make, with_images: Any, tmp_path: Path
) -> None:
    fabricated = small(make_run)
    run = write_run(fabricated, tmp_path / "stored")
    failed = next(row for row in fabricated.plan_rows if row["result_key"] == "apc-weave-10-1")
    damaged = (
        run.path / f"metrics/synthetic/weave/apc/shots-10/seed-1/{failed['result_key']}.parquet"
    )
    damaged.write_bytes(damaged.read_bytes()[:-9])
    attempts.record(
        run.attempts_folder,
        attempts.FAILED,
        result_key=failed["result_key"],
        kind="trial",
        step="x",
        reason="worker lost",
    )
    page = write_report(Run.open(run.path), data=with_images(fabricated))
    assert page == tmp_path / "stored" / "report" / "index.html"
    table = pl.read_csv(page.parent / "tables" / "poster.csv")
    assert table.filter(pl.col("test_set") == "common")["shots"].to_list() == [0, 1, 10]
    row = table.filter((pl.col("shots") == 1) & (pl.col("test_set") == "common")).to_dicts()[0]
    values = [fabricated.value("apc", "granite", 1, seed, "image_auroc") for seed in (0, 1)]
    assert (row["image_auroc_percent"], row["image_auroc_of"]) == (
        pytest.approx(100 * np.mean(values)),
        1,
    )
    text = Page(page.read_text()).text
    assert "failed: worker lost" in text
    assert "Damaged files" in text
    assert (page.parent / "gallery" / "weave.png").is_file()


def test_damaged_curves_maps_and_scores_leave_the_rest_of_the_report(
    make_run: Make, tmp_path: Path
) -> None:
    run = write_run(small(make_run), tmp_path / "stored")
    for kind in ("curves", "maps", "scores"):
        for path in (run.path / kind).rglob("*.parquet"):
            path.write_bytes(b"damaged")
    page = write_report(run, data=None)
    text = Page(page.read_text()).text
    assert "No trial has scores and maps that can be read." in text
    assert not (page.parent / "gallery").exists()
    assert pl.read_csv(page.parent / "tables" / "cost.csv")["images_per_second"].null_count() == 3


def test_reporting_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, json, apc_bench.report as r; json.dump(sorted({'torch', 'ray', 'torchvision',"
        " 'matplotlib.pyplot'} & set(sys.modules)), sys.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == []


def test_templates_and_figures_are_found() -> None:
    assert (reports_folder() / "templates" / "page.html.j2").is_file()
    assert (reports_folder() / "published" / "mvtec_ad.yaml").is_file()
