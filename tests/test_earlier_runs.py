"""What an earlier commit left behind: a run is found done, says what it said, and grows; the same
bits are computed anew. The runs, and what that commit's commands said of them, are in data/
run_of_877af49, whose make.py tells how they were made.

Results are bound to the machine's instruction sets and to versions (they are part of every key), so
what is promised to the bit is tested where they are as recorded, and told where they are not.
"""

import hashlib
import json
import math
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support import apc_bench

from apc_bench.settings.detectors import DETECTORS

KEPT = Path(__file__).parent / "data" / "run_of_877af49"
EXPECTED = json.loads((KEPT / "expected.json").read_text(encoding="utf-8"))
COMMANDS = [one for one in EXPECTED["said"] if one["arguments"][0] != "report"]
REPORT = next(one for one in EXPECTED["said"] if one["arguments"][0] == "report")

RUN = Path("runs/a")
SWEEP = ("sweep", "--job", "job.yaml", "--data", "data", "--cache", "cache")
PART = ("--seeds", "1", "--shots", "2", "--categories", "cap")
SERIAL = ("--executor", "serial")
STEPS = 36
RESULTS = ("scores", "maps", "curves", "features", "metrics", "extractors")

REWORDED = {
    "seconds of a trial": "time of a trial, s",
    "seconds of a fine-tuning": "time of fine-tuning, s",
    "+0.00": "0.00",  # the gate's differences of exactly zero
    '"running": [], ': '"running": [], "stages": [], ',
    ": 13 maps": ": 13 maps of APC, 2 shots, seed 0, 2 of them of images that it learned from",
}
"""What commands say otherwise since, on purpose."""

WRONG_THEN = ["", "Why they may differ", "  nothing that run.json records differs"]
"""The last lines of a comparison with figures that have no run.json, which are left out since."""

FOUND_SINCE = {"threshold"}
"""Kinds of findings that `data check` has since, on purpose."""

REPORTED_SINCE = {
    *(f"plots/memorisation.{ending}" for ending in ("pdf", "png", "svg")),
    *(f"plots/answer.{ending}" for ending in ("pdf", "png", "svg")),
    *(
        f"tables/{name}.{ending}"
        for name in ("answer", "memorisation", "types")
        for ending in ("csv", "md", "parquet", "tex")
    ),
}
"""Files that a report of such a run has since, on purpose."""

WRITTEN_ANEW = {"differences.md", "gains.md"}
"""Tables for readers that say less, or more, since, on purpose; their values are as they were."""

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")
KEY = re.compile(r"\b[0-9a-f]{16}\b")


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory) -> Iterator[Path]:
    """The folder in which the commands were given, and are given here."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(KEPT / "files.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        patch.setattr(os, "cpu_count", lambda: 1)  # reports are drawn in this process
        yield folder


@pytest.fixture(scope="module")
def fresh(place) -> Path:
    """A part of the same sweep, done by the code of today in a folder of its own: with the settings
    of then, whatever the defaults are today.
    """
    job = yaml.safe_load(Path("job.yaml").read_text())
    recorded = json.loads((RUN / "run.json").read_text())["settings"]
    job["precision"] = recorded["precision"]
    for name, method in job["methods"].items():
        implied = DETECTORS[method.get("detector", "patchcore")].implied
        method["settings"] = {**implied, **recorded["methods"][name]["settings"]}
    Path("then.yaml").write_text(yaml.safe_dump(job))
    of_then = ("sweep", "--job", "then.yaml", "--data", "data", "--cache", "cache")
    apc_bench(*of_then, *SERIAL, "--run", "fresh", *PART)
    return Path("fresh")


@pytest.fixture(scope="module")
def other(fresh) -> dict[str, tuple[str, str]]:
    """What decides bits and is not as recorded: (recorded, here) by name."""
    then, now = (json.loads((run / "run.json").read_text())["computing"] for run in (RUN, fresh))
    assert then.keys() == now.keys()
    return {name: (then[name], now[name]) for name in then if then[name] != now[name]}


@pytest.fixture
def copy(tmp_path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "a"))


def as_it_was(text: str, expected: str, other: dict[str, tuple[str, str]]) -> bool:
    """Whether a text is the recorded one: to the byte, or, where other versions or processors add
    up otherwise, to nine digits of its numbers.
    """
    if text == expected or not other:
        return text == expected
    numbers = ([float(one) for one in NUMBER.findall(each)] for each in (text, expected))
    return NUMBER.sub("#", text) == NUMBER.sub("#", expected) and all(
        math.isclose(*pair, rel_tol=1e-9, abs_tol=1e-9) for pair in zip(*numbers, strict=True)
    )


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests(run: Path) -> dict[str, str]:
    """The results in a run folder, by name, with the sha256 of their bytes."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for kind in RESULTS
        for path in (run / kind).rglob("*")
        if path.is_file()
    }


def test_an_earlier_run_is_found_done_and_one_of_another_environment_is_refused(copy, other):
    before = digests(copy)
    if other:
        told = " ".join(apc_bench(*SWEEP, *SERIAL, "--run", copy, code=2).output.split())
        for name, (then, now) in other.items():
            assert f"{name} was {then!r}, now {now!r}" in told
    else:
        told = apc_bench(*SWEEP, "--run", copy, "--dry-run").output.splitlines()
        assert sum(line.startswith("done ") for line in told) == STEPS
        assert not [line for line in told if line.startswith("would ")]
        assert f"{STEPS // 2 - 2} fine-tunings, {STEPS // 2 + 2} trials; 0 left" in told[-1]
    assert digests(copy) == before


def test_a_seed_is_added_to_an_earlier_run_and_what_it_held_stays(copy, other):
    if other:
        pytest.skip(f"refused here, since other than recorded: {other}")
    before = digests(copy)
    added = ("--seeds", "0,1,2", "--shots", "1", "--categories", "cap")
    told = apc_bench(*SWEEP, *SERIAL, "--run", copy, *added).output
    assert "5 steps done, 10 were done before" in told
    after = digests(copy)
    assert before.items() <= after.items()
    assert {name.split("/")[-2] for name in after.keys() - before.keys()} == {
        "seed=2",
        "extractors",
    }
    state = json.loads(apc_bench("status", copy, "--json").stdout)
    assert (state["total"], state["done"], state["damaged"]) == (STEPS + 5, STEPS + 5, [])
    settings = json.loads((copy / "run.json").read_text())["settings"]
    assert (settings["seeds"], settings["shots"]) == ([0, 1, 2], [1, 2])


@pytest.mark.parametrize("said", COMMANDS, ids=lambda said: " ".join(said["arguments"]))
def test_commands_say_of_earlier_runs_what_they_said_with_the_same_exit_code(said, other):
    result = apc_bench(*said["arguments"], code=said["code"])
    told = result.output.replace(str(Path.cwd()), "PLACE")
    if said["arguments"][:2] == ["data", "check"]:
        told = with_findings_of_then(told)
    output = told.splitlines()
    expected = [reworded(line) for line in said["output"]]
    if said["arguments"] == ["compare", "runs/a", "mvtec_ad"]:
        assert expected[-3:] == WRONG_THEN
        del expected[-3:]
    if expected != said["output"]:  # then columns are of another width
        output, expected = (
            [" ".join(line.split()) for line in lines] for lines in (output, expected)
        )
    assert len(output) == len(expected), result.output
    for line, then in zip(output, expected, strict=True):
        assert as_it_was(line, then, other)


def with_findings_of_then(report: str) -> str:
    found = json.loads(report)
    for category in found["categories"]:
        category["findings"] = [
            one for one in category["findings"] if one["kind"] not in FOUND_SINCE
        ]
    return json.dumps(found, indent=2)


def reworded(line: str) -> str:
    for then, now in REWORDED.items():
        line = line.replace(then, now)
    return line


def test_the_report_of_an_earlier_run_has_the_tables_that_it_had(other):
    output = apc_bench(*REPORT["arguments"]).output.replace(str(Path.cwd()), "PLACE")
    *table, page = REPORT["output"]
    lines = output.splitlines()
    assert as_it_was("\n".join([*lines[: len(table)], lines[-1]]), "\n".join([*table, page]), other)
    answer = lines[len(table) : -1]  # which is said since
    assert answer[0].startswith("Do 2 defect photos help? ")
    assert answer[1].startswith(
        "Over 2 categories, with 2 defect photos each to learn from, at 25 %"
    )
    report = RUN / "report"
    files = [str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()]
    assert sorted(set(files) - REPORTED_SINCE) == EXPECTED["report"]
    assert set(files) >= REPORTED_SINCE
    for path in sorted((KEPT / "tables").iterdir()):
        if path.name in WRITTEN_ANEW:
            continue
        table = (report / "tables" / path.name).read_text(encoding="utf-8")
        assert as_it_was(table, path.read_text(encoding="utf-8"), other), path.name
    for name, columns in EXPECTED["columns"].items():
        found = pl.read_parquet_schema(report / "tables" / name)
        assert {column: str(kind) for column, kind in found.items()} == columns, name
    for name, sha256 in EXPECTED["sha256"].items():
        tex = (report / "tables" / name).read_bytes()
        for since in (b"answer", b"memorisation", b"types"):  # in all.tex
            tex = tex.replace(b"\\input{%s.tex}\n\\clearpage\n" % since, b"")
        assert other or hashlib.sha256(tex).hexdigest() == sha256, name


def test_what_is_computed_anew_is_what_was_computed_to_the_bit(fresh, other):
    if other:
        pytest.skip(f"other than recorded: {other}")
    names = digests(fresh).keys()
    then = {named_today(name): RUN / name for name in digests(RUN)}
    assert len(names) == 3 * 5 + 2 * 2
    for name in sorted(names):
        if name.endswith(".safetensors"):
            assert (fresh / name).read_bytes() == then[name].read_bytes(), name
            continue
        rows, expected = rows_of(fresh / name), rows_of(then[name])
        own = expected[0].keys()
        assert [{column: row[column] for column in own} for row in rows] == expected, name


def named_today(name: str) -> str:
    """What a file of an earlier run folder is called since schema 2."""
    name = re.sub(r"\b(dataset|category|method)=", "", name)
    return re.sub(r"\b(shots|seed)=", r"\1-", name)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """What a file says, without what was measured: times and memory. A map of reasons has no
    order.
    """
    with pq.ParquetFile(path) as file:
        table = file.read()
    maps = {field.name for field in table.schema if pa.types.is_map(field.type)}
    return [
        {
            name: dict(value) if name in maps else value
            for name, value in row.items()
            if not name.startswith(("seconds", "peak_"))
        }
        for row in table.to_pylist()
    ]


def test_steps_have_the_ids_that_they_had_on_every_machine(fresh):
    """The ids that tell what a step is, as they were recorded; and the keys that tell what its bits
    depend on, by one rule: from the recorded environment those recorded, from this one today's.
    """
    where = ("kind", "category", "method", "shots", "seed")
    then, now = ({tuple(map(row.get, where)): row for row in planned(run)} for run in (RUN, fresh))
    assert (len(then), len(now)) == (STEPS, 5)
    assert {place: row["trial_id"] for place, row in now.items()} == {
        place: then[place]["trial_id"] for place in now
    }
    for run, rows in ((RUN, then), (fresh, now)):
        info = json.loads((run / "run.json").read_text())
        for row in rows.values():
            assert row["result_key"] == key_of(info, row), row


def planned(run: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(run / "plan.parquet").to_dicts()


def key_of(info: dict[str, Any], row: dict[str, Any]) -> str:
    """The key of a step as commit 877af49 made it, from what run.json and the plan say."""
    settings, method = info["settings"], info["settings"]["methods"][row["method"]]
    identity = {name: row[name] for name in ("dataset", "category", "shots", "seed")}
    identity |= {name: settings[name] for name in ("reserve", "image_size", "resize")}
    computed = {
        "fingerprint": info["fingerprints"][row["category"]],
        "weights": info["weights"][row["method"]]["sha256"],
        "environment": info["computing"],
    }
    kind = DETECTORS[method["detector"]]
    implied = {kind.former_names.get(name, name) for name in kind.implied}
    own = {name: value for name, value in method["settings"].items() if name not in implied}
    who = {"detector": method["detector"], "backbone": method["backbone"]}
    if row["kind"] == "extractor":
        training = {"stored": "layer3"}
        training |= {name: own[name] for name in TRAINED_BY[method["detector"]]}
        return digest({"kind": "extractor", **identity, **who, "training": training, **computed})
    identity |= {"method": row["method"], **who, "settings": own}
    identity |= {"false_alarms": settings["false_alarms"]}
    bound = {"extractor": row["needs"], "features": settings["features"]}
    return digest({"kind": "trial", **identity, **computed, **bound})


TRAINED_BY = {
    "apc": (
        "steps",
        "batch",
        "anomalous_share",
        "jitter",
        "shift",
        "rotation",
        "flip",
        "losses",
        "rate_extractor",
        "rate_heads",
        "weight_decay",
        "batch_norm",
        "skips",
        "segmentation_loss",
        "positive_weight_max",
        "reconstruct",
    ),
    "apc+": (
        "layers",
        "neighbourhood",
        "pretrain_dim",
        "target_dim",
        "classifier_steps",
        "classifier_width",
        "classifier_rate",
        "classifier_decay",
        "classifier_noise",
        "classifier_share",
    ),
}
"""The settings that a training's key is made of."""


def test_run_folders_have_the_files_columns_and_marks_that_they_had(fresh):
    """What other programs read: names of folders and files, columns and their types, metadata, and
    the fields of run.json. Since schema 2 folders are named otherwise, and each table says whose it
    is.
    """
    expected = shape(RUN)
    for name, table in expected.items():
        kind = name.partition("/")[0]
        if table and kind in WHOSE:
            columns, metadata = table
            expected[name] = {**WHOSE[kind], **columns}, metadata
    assert shape(fresh) == expected
    then, now = (json.loads((run / "run.json").read_text()) for run in (RUN, fresh))
    assert now.keys() == {*then.keys(), "encodings", "unused"}
    assert now["environment"].keys() == {*then["environment"].keys(), "usable"}
    for name in ("dataset", "weights", "left_out", "emptied"):
        assert then[name] == now[name]
    assert now["fingerprints"] == {"cap": then["fingerprints"]["cap"]}
    asked = {"seeds": [1], "shots": [2], "categories": ["cap"]}
    for name, method in then["settings"]["methods"].items():
        own = now["settings"]["methods"][name]
        assert own["settings"].items() >= method["settings"].items()
        own["settings"] = method["settings"]
    job = {"job": now["settings"]["job"]}
    assert now["settings"].items() >= {**then["settings"], **asked, **job}.items()


PLACE = {"dataset": "string", "category": "string"}
STEP = {**PLACE, "method": "string", "shots": "int16", "seed": "int32"}
WHOSE = {
    "splits": {**PLACE, "seed": "int32"},
    **dict.fromkeys(("scores", "maps", "curves", "features", "extractors"), STEP),
}
"""The columns of each kind of file that came with schema 2."""


def shape(run: Path) -> dict[str, Any]:
    """The kinds of files in a run, with columns and metadata; what differs between steps is left
    out of names and values.
    """
    found = {}
    for path in sorted(run.rglob("*")):
        name = named_today(str(path.relative_to(run)))
        name = re.sub(r"/[^/]+/[^/]+/shots-\d+/seed-\d+/", "/CATEGORY/METHOD/SHOTS/SEED/", name)
        name = re.sub(r"/[^/]+/seed-\d+/split", "/CATEGORY/SEED/split", name)
        name = "attempts/*.jsonl" if name.startswith("attempts/") else KEY.sub("*", name)
        if not path.is_file() or name.startswith("report/"):
            continue
        found[name] = None
        if path.suffix == ".parquet":
            schema = pq.read_schema(path)
            columns = {field.name: str(field.type) for field in schema}
            found[name] = columns, sorted(key.decode() for key in schema.metadata)
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = sorted({key for line in lines for key in line})
    return found
