"""run.json as a record: what a file lacks is known, what is unknown stays, and a sweep merges into
it or is refused.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from apc_bench.errors import DamagedFile, RunError
from apc_bench.settings.sweep import Sweep
from apc_bench.store.info import RunInfo, is_run
from apc_bench.store.run import Run

METHODS = {"patchcore": {"backbone": "builtin", "settings": {"layers": ["layer2", "layer3"]}}}


def info(**settings) -> RunInfo:
    sweep = Sweep.model_validate({"dataset": "d", "methods": METHODS, **settings})
    return RunInfo(
        dataset="d",
        data=Path("/data"),
        settings=sweep.model_dump(mode="json"),
        fingerprints={"01": "a"},
        weights={"patchcore": {"sha256": "1", "origin": "shipped"}},
        computing={"torch": "2", "numpy": "1"},
        environment={"cores": 2, "git": {"commit": "0123456789abcdef", "dirty": True}},
        created="2026-01-01T00:00:00+00:00",
    )


def test_what_is_written_is_read_back(tmp_path):
    run = Run(tmp_path)
    assert not is_run(tmp_path)
    run.write_info(info())
    assert is_run(tmp_path)
    read = Run.open(tmp_path).info
    assert read == replace(info(), absent=frozenset({"resumed"}))
    assert list(read.as_json()) == [
        "schema",
        "dataset",
        "data",
        "settings",
        "fingerprints",
        "weights",
        "computing",
        "environment",
        "left_out",
        "emptied",
        "encodings",
        "unused",
        "created",
    ]


def test_unknown_keys_stay_and_what_is_absent_or_of_another_type_is_known():
    values = {"schema": 1, "site": {"line": 3}, "settings": [], "left_out": {}}
    read = RunInfo.from_json(values)
    assert read.as_json() == {"schema": 1, "left_out": {}, "site": {"line": 3}}
    assert {"settings", "dataset", "data"} <= read.absent
    assert "left_out" not in read.absent
    assert read.settings == {}
    assert read.data is None


def test_a_run_json_without_what_is_needed_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 1, "settings": {}}')
    run = Run.open(tmp_path)
    assert run.info_with("settings").settings == {}
    with pytest.raises(DamagedFile, match=r"run\.json: no fingerprints"):
        run.info_with("settings", "fingerprints", "weights")


def test_a_merge_adds_seeds_shots_categories_and_methods():
    old = replace(info(seeds=[0], shots=[1], categories=["01"]), other={"site": 3})
    more = {**METHODS, "second": METHODS["patchcore"]}
    new = replace(
        info(seeds=[1], shots=[5], categories=["02"], methods=more, only=["second"]),
        fingerprints={"02": "b"},
        weights={"second": {"sha256": "1"}},
        created="2026-01-02T00:00:00+00:00",
    )
    both = old.merge(new, Path("run"))
    assert both.settings["seeds"] == [0, 1]
    assert both.settings["shots"] == [1, 5]
    assert both.settings["categories"] == ["01", "02"]
    assert list(both.settings["methods"]) == ["patchcore", "second"]
    assert both.settings["only"] is None  # all have run
    assert both.fingerprints == {"01": "a", "02": "b"}
    assert list(both.weights) == ["patchcore", "second"]
    assert (both.created, both.resumed) == (old.created, new.created)
    assert both.as_json()["site"] == 3


def test_a_merge_keeps_which_methods_have_run():
    """Else the same command again would make `--like` of its run repeat all of the job's."""
    many = dict.fromkeys(("first", "second", "third"), METHODS["patchcore"])
    old = info(methods=many, only=["second"])
    assert old.merge(old, Path("run")).settings["only"] == ["second"]
    both = old.merge(info(methods=many, only=["first"]), Path("run"))
    assert both.settings["only"] == ["first", "second"]
    assert both.merge(info(methods=many), Path("run")).settings["only"] is None


def test_a_sweep_of_all_categories_makes_the_merged_one_so():
    both = info(categories=["01"]).merge(info(), Path("run"))
    assert both.settings["categories"] is None


@pytest.mark.parametrize(
    ("new", "line"),
    [
        (info(image_size=64), "image_size was 224, now 64"),
        (info(part="dev"), "part was None, now 'dev'"),
        (replace(info(), computing={"torch": "3"}), "torch was '2', now '3'; numpy was '1'"),
        (replace(info(), weights={"patchcore": {"sha256": "2"}}), "'patchcore' has other weights"),
        (replace(info(), fingerprints={"01": "b"}), "the content of category '01' changed"),
        (
            info(methods={"patchcore": {"backbone": "resnet18"}}),
            "method 'patchcore' has other settings",
        ),
    ],
)
def test_another_sweep_is_refused_with_what_differs(new, line):
    with pytest.raises(RunError, match=r"^run belongs to a sweep with other") as error:
        info().merge(new, Path("run"))
    assert line in str(error.value)


def test_a_computing_name_that_an_older_version_did_not_record_is_no_conflict():
    new = replace(info(), computing={**info().computing, "driver": "9"})
    assert info().merge(new, Path("run")).computing["driver"] == "9"


def test_a_setting_that_an_older_version_did_not_record_is_at_its_default():
    settings = {name: value for name, value in info().settings.items() if name != "protocol"}
    assert replace(info(), settings=settings).merge(info(), Path("run")).settings == info().settings


def test_a_diff_is_of_what_both_have_but_for_versions_and_hardware():
    second = replace(
        info(),
        fingerprints={"01": "b", "02": "c"},
        weights={"patchcore": {"sha256": "2"}, "other": {"sha256": "3"}},
        computing={"torch": "3", "numpy": "1", "new": "x"},
        environment={**info().environment, "cores": 4},
        left_out={"01": {"bad.png": "truncated"}},
    )
    diff = info().diff(second)
    assert diff.computing == {"torch": ("2", "3"), "new": (None, "x")}
    assert diff.environment == {"cores": (2, 4)}
    assert diff.fingerprints == ("01",)
    assert diff.weights == ("patchcore",)
    assert diff.left_out


def test_runs_that_left_out_nothing_do_not_differ_in_it():
    assert not info().diff(replace(info(), left_out={"01": {}})).left_out


def test_the_revision_is_the_commit_or_the_version():
    assert info().revision() == "0123456+"
    assert info().revision(10) == "0123456789+"
    clean = replace(info(), environment={"git": {"commit": "0123456789", "dirty": False}})
    assert clean.revision() == "0123456"
    assert RunInfo(environment={"git": None, "apc_bench": "0.1.0"}).revision() == "version 0.1.0"
    assert RunInfo().revision() == "version ?"


def test_the_command_is_told_as_words():
    assert RunInfo(environment={"command": ["apc-bench", 1]}).command == ["apc-bench", "1"]
    assert RunInfo(other={"command": ["x"]}, environment={"command": ["y"]}).command == ["x"]
    assert RunInfo().command == []
