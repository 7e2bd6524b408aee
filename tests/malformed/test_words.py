"""Job files and command lines with wrong values, names and text."""

import itertools

import pytest
import yaml

from .conftest import PATCHCORE, TINY

VALUES: dict[str, list[object]] = {
    "image_size": [0, -1, 15, 5000, "big", None, 1.5, [], {}],
    "reserve": [0, -3, 2**15, "ten", 1.5, []],
    "shots": [[0], [-1], [1, 1], ["x"], 5, "1,5", [[1]], {}, [99]],
    "seeds": [[-1], [2**31], [0, 0], "x", {}, [1.5]],
    "resize": ["stretch", 5, [], True],
    "false_alarms": [0, 1, 2, -0.1, "x", float("inf"), float("nan")],
    "threads": [0, 257, "many"],
    "device": ["gpu", 3],
    "precision": ["half", 16],
    "features": ["some", "all", 5],
    "skip_unreadable": ["perhaps", 7],
    "protocol": ["cross", 5],
    "folds": [1, 0, "x", 2000],
    "dataset": ["../x", "a b", "", "x" * 65, 5, "<b>"],
    "methods": [
        {},
        [],
        "patchcore",
        5,
        {"a/b": {}},
        {"..": {}},
        {"a": {"detector": "patchcor"}},
        {"a": {"backbone": "resnet"}},
    ],
    "only": [["nobody"], "x"],
    "unseen": ["a b", 5],
    "imagesize": [5],
}

METHODS = {
    "coreset_ratio": [0, 2, "x"],
    "sigma": [-1, 65],
    "layers": [[], ["layer3", "layer2"], ["layer9"], "layer4"],
    "bank_max": [0],
    "x": [1],
}
TEXTS = [
    b"",
    b"- a\n- b\n",
    b"a: [",
    b"\t",
    b"a: 1\na: 2\n",
    b"!!python/object/apply:os.system ['touch canary']",
    b"x: &x [*x]\n",
    b"[" * 2000,
    b"5",
    b"null",
    b"\xff\xfe\0",
    b"job: caf\xe9",
    b"\0\0\0",
]


def test_a_wrong_value_in_a_job_file_is_named(refused):
    path, sound = refused.place / "wrong.yaml", yaml.safe_load(TINY + PATCHCORE)
    elsewhere = {"shots[99]": "reserve", "only['nobody']": "nobody"}
    for name, values in VALUES.items():
        for value in values:
            path.write_text(yaml.safe_dump(sound | {name: value}))
            culprit = elsewhere.get(f"{name}{value}", name)
            refused.swept(f"{name}: {value!r}", culprit, "--job", path, "--data", refused.place)
    assert refused.tried >= 75


def test_a_wrong_setting_of_a_method_is_named(refused):
    path, sound = refused.place / "wrong.yaml", yaml.safe_load(TINY + PATCHCORE)
    for (name, values), kind in itertools.product(METHODS.items(), ("patchcore", "apc")):
        for value in values:
            method = {"detector": kind, "backbone": "resnet18", "settings": {name: value}}
            path.write_text(yaml.safe_dump(sound | {"methods": {"m": method}}))
            options = ("--job", path, "--data", refused.place)
            refused.swept(f"{kind} {name}: {value!r}", name, *options)


def test_a_file_that_is_no_job_is_named(refused):
    path = refused.place / "wrong.yaml"
    for content in TEXTS:
        path.write_bytes(content)
        refused.swept(repr(content), "wrong.yaml", "--job", path)


OPTIONS = {
    "--shots": ["0", "a", "1,,5", "-1", "1.5", "1;5", "", "9999999"],
    "--seeds": ["a", "-1", "0,0", ",", "1e3"],
    "--reserve": ["0", "-1", "x", "1.5"],
    "--image-size": ["x", "-5", "15", "9999"],
    "--resize": ["stretch", ""],
    "--protocol": ["half", ""],
    "--folds": ["1", "x"],
    "--device": ["gpu", ""],
    "--threads": ["0", "x", "999"],
    "--workers": ["0", "x"],
    "--gpus-per-trial": ["2", "-1", "x"],
    "--executor": ["spark", ""],
    "--step-timeout": ["0", "x"],
    "--backbone": ["resnet", ""],
    "--methods": ["nobody", "patchcore,,apc"],
    "--categories": ["nothing", ","],
    "--features": ["some"],
    "--job": ["quickstar", "gone.yaml", ".."],
    "--data": ["/nowhere"],
    "--like": ["/nowhere"],
    "--unseen": ["nothing", "a b"],
    "--part": ["nothing"],
    "--dataset": ["../x", "a b"],
    "--image-sise": ["5"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_value_on_the_command_line_is_named(refused, option):
    job = () if option in ("--job", "--data", "--like") else ("--job", "tiny")
    for value in OPTIONS[option]:
        culprit = (value or option).split(",")[0].lstrip("-") or option
        if option == "--image-sise":
            culprit = option
        places = ("--run", refused.place / "never", "--cache", refused.cache)
        name = f"{option} {value}"
        refused(name, culprit, "sweep", *job, *places, "--dry-run", option, value)


COMMANDS = [
    ("swep", "swep"),
    ("RUN", "report"),
    ("extra", "status . extra"),
    ("mvtec", "data fetch mvtec"),
    ("DIR", "data check"),
    ("nowhere", "gate nowhere --against nowhere"),
    ("nowhere", "compare nowhere nowhere"),
    ("nowhere", "history nowhere"),
    ("nowhere", "export nowhere out --method apc --seed 0"),
]


@pytest.mark.parametrize(("culprit", "words"), COMMANDS)
def test_a_wrong_command_is_one_line(refused, culprit, words):
    refused(words, culprit, *words.split())
