"""`apc-bench doctor`: what a bug report needs, in one screen, and what is wrong, with its way out."""

import json
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from plugin_support import install
from support import apc_bench

from apc_bench import __version__, plugins
from apc_bench.doctor import places, software
from apc_bench.doctor.fact import found
from apc_bench.errors import ResourceError
from apc_bench.settings.backbones import BACKBONES
from apc_bench.store.provenance import git_revision

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
FOR_OURSELVES = {"dev", "docs", "bench"}
TORCH = torch.__version__.split("+")[0]


def test_all_that_a_report_needs_is_one_screen_and_a_sound_machine_gives_0(tmp_path):
    told = apc_bench("doctor", "--quick", "--cache", tmp_path / "none").output
    lines = told.splitlines()
    assert len(lines) <= 24
    revision = git_revision()
    assert revision is not None
    assert lines[0].startswith(f"apc-bench    {__version__}, revision {revision['commit'][:12]}")
    for named in (f"torch {TORCH}", "cores", "memory", f"{tmp_path}/none: empty"):
        assert named in told
    assert lines[-1] == "wrong: nothing"
    assert not (tmp_path / "none").exists()


def test_programs_get_the_same_as_json(tmp_path):
    told = json.loads(apc_bench("doctor", "--quick", "--json", "--cache", tmp_path).output)
    assert told["wrong"] == []
    assert told["facts"]["libraries"]["torch"] == TORCH
    assert told["facts"]["cache"]["folder"] == str(tmp_path)
    weights = told["facts"]["weights"]
    assert weights["here"] == ["builtin"] and {*weights["missing"]} == {*BACKBONES} - {"builtin"}


def test_a_damaged_file_of_weights_and_a_cache_that_cannot_be_are_wrong(tmp_path):
    file = tmp_path / "weights" / BACKBONES["resnet18"].filename
    file.parent.mkdir()
    file.write_text("cut short")
    lines = apc_bench("doctor", "--quick", "--cache", tmp_path, code=1).output.splitlines()
    assert lines[-1].startswith(f"wrong: {file} has sha256 ")
    assert "delete it and run again" in lines[-1]
    told = apc_bench("doctor", "--quick", "--cache", file / "cache", code=1).output
    assert f"wrong: the cache {file}/cache cannot be: {file} is a file; name another" in told


def test_a_library_that_is_missing_or_too_old_is_wrong(monkeypatch):
    needed = PROJECT["dependencies"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: [*needed, 'x>=9; extra == "y"'])
    versions = {"torch": "1.13.1+cu117", "polars": "1.20"}
    monkeypatch.setattr(software, "version_of", lambda name: versions.get(name, "99.0"))
    faults = software.libraries().faults
    assert faults == ("torch is 1.13.1+cu117, 2.11 or newer is needed: pip install 'torch>=2.11'",)
    monkeypatch.setattr(software, "version_of", lambda name: "absent")
    faults = software.libraries().faults
    assert len(faults) == len(needed)
    assert "click is not installed: pip install 'click>=8.1'" in faults


def test_a_library_that_cannot_be_loaded_is_wrong(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    (fault,) = software.libraries().faults
    assert fault.startswith("torchvision ")
    assert "is installed and cannot be loaded (ModuleNotFoundError: " in fault


def test_every_extra_for_users_is_told():
    assert {*software.EXTRAS} == {*PROJECT["optional-dependencies"]} - FOR_OURSELVES


def test_an_extra_that_is_not_here_is_no_fault_and_says_how_it_comes(monkeypatch):
    monkeypatch.setattr(software, "version_of", lambda name: "absent")
    fact = software.extras()
    assert "timm not here (pip install 'apc-bench[timm]')" in fact.text and not fact.faults


def test_a_plug_in_that_cannot_be_loaded_is_wrong(tmp_path, monkeypatch):
    entries = '[project.entry-points."apc_bench.detectors"]\nbroken = "broken_plugin:Detector"\n'
    install(tmp_path, "apc-broken", {"broken_plugin": "import nowhere_at_all"}, entries)
    monkeypatch.syspath_prepend(tmp_path)
    plugins.offered.cache_clear()
    try:
        (fault,) = software.other_packages().faults
    finally:
        plugins.offered.cache_clear()
    assert fault.startswith("detector 'broken' of package apc-broken 0.1 cannot be loaded")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use this machine's GPU")
def test_a_gpu_that_torch_cannot_use_is_wrong(monkeypatch):
    monkeypatch.setattr("apc_bench.doctor.machine.gpu_names", lambda: ("NVIDIA H200",))
    told = apc_bench("doctor", "--quick", "--json", code=1).output
    (fault,) = json.loads(told)["wrong"]
    assert fault.startswith("the driver has NVIDIA H200, which torch cannot use")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("""print('{"cores": 2.0, "fault": null, "said": []}')""", None),
        ("""print('{"cores": 0, "fault": "no network", "said": []}')""", "no network"),
        ("import time; time.sleep(60)", "Ray did not start within 1 s; pass --executor serial"),
        ("import nowhere", "ended with code 1 (ModuleNotFoundError: No module named 'nowhere'); "),
    ],
)
def test_what_becomes_of_rays_start_is_told(monkeypatch, code, fault):
    """Of a real one in tests/cluster/test_starting.py."""
    monkeypatch.setattr(places, "RAY_TRIAL", [sys.executable, "-c", code])
    monkeypatch.setattr(places, "PATIENCE", 1.0 if "sleep" in code else 100.0)
    fact = places.ray_starts()
    if fault is None:
        assert fact.text == "starts here, for 2 steps of a core at a time" and not fact.faults
    else:
        assert fact.text == "does not start" and fault in fact.faults[0]


def test_a_look_that_fails_is_itself_what_is_wrong():
    def refused():
        raise ResourceError("no place; do this")

    def bug():
        raise ZeroDivisionError("by zero")

    assert found("x", refused).faults == ("no place; do this",)
    assert found("x", bug).faults == ("x: ZeroDivisionError: by zero",)


def test_the_version_is_named_with_its_revision():
    revision = git_revision()
    assert revision is not None
    told = apc_bench("--version").output
    assert told.startswith(f"apc-bench {__version__}, revision {revision['commit'][:12]}")
