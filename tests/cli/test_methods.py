"""Settings that can be found: every one is listed with what the code checks, and one is changed
without a job file.
"""

import json
import re

import pytest
import yaml
from pydantic import ValidationError
from support import apc_bench

from apc_bench.errors import UsageError
from apc_bench.settings.anomalib import MODELS
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.job import load_job, override, sweep_from
from apc_bench.settings.listing import described
from apc_bench.settings.sweep import make_sweep


def values_of(settings, name, value):
    """A detector's settings with one that may stand in a group."""
    group, _, inner = name.rpartition(".")
    return settings(**({group: {inner: value}} if group else {name: value}))


@pytest.mark.parametrize("detector", DETECTORS)
def test_what_is_listed_is_what_the_code_allows(detector):
    """Limits are tried out, and defaults are what settings without values have."""
    settings = DETECTORS[detector]
    lines = {line.name: line for line in described(settings)}
    whole = {name.partition(".")[0] for name in lines}
    assert whole == set(settings.model_fields)
    tried = 0
    for name, line in lines.items():
        assert line.meaning.endswith("."), name
        group, _, inner = name.rpartition(".")
        holder = getattr(settings(), group) if group else settings()
        default = getattr(holder, inner or name)
        expected = list(default) if isinstance(default, tuple) else default
        read = yaml.safe_load(line.default)
        assert (float(read) if isinstance(expected, float) else read) == expected, name
        good, bad = limits_in(line.allowed)
        tried += len(good) + len(bad)
        for value in good:
            values_of(settings, name, value)
        for value in bad:
            with pytest.raises(ValidationError):
                values_of(settings, name, value)
    assert tried >= 10


def limits_in(allowed):
    """Numbers that a setting may just have, and just not, by its line."""
    good, bad = [], []
    number = r"(-?[\d.]+)"
    for low, high in re.findall(f"{number} to {number}", allowed):
        good += [float(low), float(high)]
        bad += [float(low) - 0.01, float(high) + 0.01]
    for limit in re.findall(f"at least {number}", allowed):
        good.append(float(limit))
        bad.append(float(limit) - 0.01)
    for limit in re.findall(f"at most {number}", allowed):
        good.append(float(limit))
        bad.append(float(limit) + 0.01)
    for word, step in (("above", 0.01), ("below", -0.01)):
        for limit in re.findall(f"{word} {number}", allowed):
            good.append(float(limit) + step)
            bad.append(float(limit))
    return good, bad


def test_systems_and_settings_are_listed_from_the_jobs_and_the_code():
    told = " ".join(apc_bench("methods").output.split())
    for system in (
        "apc APC: detector apc on moco_v3_resnet50 (paper)",
        "patchcore-wr50 PatchCore WR50 (reference): detector patchcore on wide_resnet50_2 (paper)",
        "apc-plus APC+: detector apc+ on builtin (quickstart)",
    ):
        assert system in told
    assert told.count("Settings of detector ") == 5
    assert (
        "steps = 150 Steps of the optimiser; the training's fixed length. [whole number, at least"
        " 1]" in told
    )
    assert "losses.segmentation = 1 Weight of telling" in told
    assert "such as --set apc.steps=600" in told


def test_one_system_one_detector_or_another_jobs_are_asked_for_by_name():
    one = apc_bench("methods", "prnet").output
    assert one.count("Settings of detector ") == 1 and "top_pixels = 100" in one
    found = json.loads(apc_bench("methods", "apc-plus", "--job", "photos", "--json").output)
    assert [system["backbone"] for system in found["systems"]] == ["resnet18"]
    assert [line["name"] for line in found["settings"]["apc+"]][:1] == ["steps"]
    told = apc_bench("methods", "aps", code=2).output
    assert told.startswith("error: unknown detector or system 'aps' (known: anomalib, apc, apc+,")


@pytest.mark.parametrize("typed", ["padim", "PaDiM", "EfficientAD", "dinomaly"])
def test_a_model_of_anomalib_is_asked_for_by_its_name_and_its_job_file_can_be_copied(
    typed, tmp_path
):
    told = apc_bench("methods", typed).output
    job = tmp_path / "copied.yaml"
    job.write_text(told[told.index("methods:") : told.index("\napc-bench sweep")])
    sweep, _ = sweep_from(str(job), {"protocol": "crossfit"})
    frozen, model = sweep.methods.values()
    assert frozen.detector == "patchcore"
    assert model.settings.model.lower() == typed.lower()
    assert told.count("Settings of detector ") == 1
    output = apc_bench("sweep", "--methods", typed, code=2).output
    assert f"`apc-bench methods {typed}` shows the job file that has it" in output


def test_our_patchcore_is_not_taken_for_anomalibs():
    assert "bank_max" in apc_bench("methods", "patchcore").output
    settings = {"methods": {"apc": {"detector": "apc"}}, "only": ["patchcore"]}
    with pytest.raises(UsageError, match=r"unknown method 'patchcore' \(known: apc\)"):
        make_sweep(settings, source="x")
    told = apc_bench("methods").output.splitlines()[-1]
    assert all(name in told for name in MODELS), "lists of known names are never cut"


def test_a_setting_is_changed_without_a_job_file_and_all_else_stays():
    before, _ = sweep_from("paper", {})
    changes = (
        "apc.steps=600",
        "apc.losses.segmentation=0.5",
        "apc.projection_dim=null",
        "patchcore.layers=[layer1, layer2]",
        "apc.heads_learning_rate=3e-5",
        "prnet.flip=true",
    )
    after, _ = sweep_from("paper", {"changes": changes})
    apc = after.methods["apc"].settings
    assert (apc.steps, apc.projection_dim, apc.heads_learning_rate) == (600, None, 3e-5)
    assert (apc.losses.segmentation, apc.losses.classification) == (0.5, 10.0)
    assert after.methods["patchcore"].settings.layers == ("layer1", "layer2")
    assert after.methods["prnet"].settings.flip is True
    assert after.methods["apc-frozen"] == before.methods["apc-frozen"]
    assert after.fixed() == before.fixed()


def test_a_repeated_runs_setting_is_changed_under_its_name_of_today():
    """A run folder holds the name that the setting was first called by."""
    recorded = make_sweep(load_job("tiny"), source="tiny").model_dump(mode="json")
    assert "rate_extractor" in recorded["methods"]["apc"]["settings"]
    changed = override(recorded, {"changes": ("apc.extractor_learning_rate=0.5",), "job": None})
    assert make_sweep(changed, source="x").methods["apc"].settings.extractor_learning_rate == 0.5


def test_the_command_takes_several_and_says_what_is_wrong_with_one():
    sweep = ("sweep", "--dry-run", "--set", "apc.batch=4", "--set")
    for typed, told in (
        ("apc", "--set apc: write METHOD.SETTING=VALUE, such as apc.steps=600"),
        ("apc.steps", "--set apc.steps: write METHOD.SETTING=VALUE"),
        ("acp.steps=1", "unknown method 'acp' (known: apc, apc-plus, patchcore, prnet); did you"),
        ("apc.steps=0", "methods.apc.settings.steps: must be at least 1 (got 0)"),
        ("apc.steps=many", "methods.apc.settings.steps: must be a whole number (got 'many')"),
        ("apc.epochs=5", "'epochs' is called 'steps' here"),
        ("apc.backbone=x", "'backbone' stands beside the settings, under methods.apc"),
        (
            "patchcore.steps=5",
            "detector 'patchcore' has no 'steps'; apc, apc+, prnet and anomalib have",
        ),
        ("apc.layers=[", "'[' is no value of a job file"),
    ):
        output = apc_bench(*sweep, typed, code=2).output
        assert output.startswith("error: ") and told in output, output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps: 600", "or pass --set apc.steps=VALUE; `apc-bench methods` lists every setting"),
        ("lr: 1", "'lr' is a setting of a method and called 'extractor_learning_rate' here"),
        ("backbone: resnet18", "'backbone' is said of each method: write it under methods.apc"),
        ("shots: 5", "shots: must be a list in square brackets, such as [5] (got 5)"),
        ("shots: 1 5 10", "such as [1, 5, 10] (got '1 5 10')"),
        ("categories: weave", "such as [weave] (got 'weave')"),
        ("synthetic: 3", "synthetic: must be 'name: value' lines (got 3)"),
        ("seeds: [0.5]", "seeds.0: must be a whole number (got 0.5)"),
        ("false_alarms: 2", "false_alarms: must be below 1 (got 2)"),
        ("wrong: 2", "unknown setting 'wrong' (known: bits, categories, dataset, device, false_al"),
    ],
)
def test_a_job_file_with_a_misplaced_or_odd_setting_leads_to_what_to_write(text, told, tmp_path):
    (tmp_path / "job.yaml").write_text(f"{text}\nmethods: {{apc: {{detector: apc}}}}\n")
    output = apc_bench("sweep", "--dry-run", "--job", tmp_path / "job.yaml", code=2).output
    assert told in output
    assert "…" not in output and "valid tuple" not in output


def test_a_setting_one_level_too_high_leads_below(tmp_path):
    job = tmp_path / "job.yaml"
    for method, told in (
        ("{detector: apc, steps: 600}", "write it under methods.apc.settings, or pass --set apc.s"),
        ("{detector: apc, shots: 1}", "'shots' stands at the top of a job file"),
        ("{detector: apc, settings: {learning_rate: 1}}", "'extractor_learning_rate' or 'heads_l"),
        ("[detector]", "methods.apc: must be 'name: value' lines"),
    ):
        job.write_text(f"methods: {{apc: {method}}}\n")
        assert told in apc_bench("sweep", "--dry-run", "--job", job, code=2).output
