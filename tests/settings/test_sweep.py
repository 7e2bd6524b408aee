"""Settings are frozen and valid, or an error that names the setting, the value and what is
allowed.
"""

import json

import pytest
from pydantic import ValidationError

from apc_bench.errors import UsageError, listed, unknown
from apc_bench.files.hashing import digest
from apc_bench.settings.detectors import Losses
from apc_bench.settings.sweep import Method, Sweep, make_sweep

METHODS = {"a": {"detector": "patchcore", "backbone": "builtin"}}


def refusal(**values: object) -> str:
    with pytest.raises(UsageError) as error:
        make_sweep({"methods": METHODS, **values}, source="job 'x'")
    text = str(error.value)
    assert text.startswith("job 'x': ")
    assert "\n" not in text
    assert len(text) < 700
    return text


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"shots": [1, 11]}, ["shots 11", "reserve of 10", "--reserve to 11"]),
        ({"shots": []}, ["shots", "at least one"]),
        ({"shots": [2, 2]}, ["shots", "each once", "[2, 2]"]),
        ({"shots": [-1]}, ["shots", "-1"]),
        ({"seeds": [2**31]}, ["seeds", str(2**31)]),  # more than the column of the run folder holds
        ({"seeds": 3}, ["seeds", "3"]),
        ({"reserve": 2**15}, ["reserve", str(2**15)]),
        ({"false_alarms": 1}, ["false_alarms", "1"]),
        ({"false_alarms": float("nan")}, ["false_alarms", "nan"]),
        ({"image_size": [list(range(10_000))]}, ["image_size", "..."]),
        ({"resize": "stretch"}, ["resize", "letterbox", "stretch"]),
        ({"dataset": "a\n"}, ["dataset", r"'a\n'"]),
        ({"imagesize": 32}, ["unknown setting 'imagesize'", "did you mean 'image_size'"]),
        ({"synthetic": {"siz": 1}}, ["synthetic", "did you mean 'size'"]),
        ({"only": ["b"]}, ["unknown method 'b'", "known: a"]),
        ({"methods": {}}, ["methods", "at least one"]),
        ({"methods": {"a/b": {}}}, ["'a/b'", "letters"]),
        ({"methods": {"a\n": {}}}, [r"'a\n'", "letters"]),
        (
            {"methods": {"a": {"detector": "patchcor"}}},
            ["methods.a.detector", "did you mean 'patchcore'"],
        ),
        (
            {"methods": {"a": {"backbone": "resnet-50"}}},
            ["methods.a.backbone", "did you mean 'resnet50'"],
        ),
        ({"methods": {"a": {"weight": "x"}}}, ["methods.a", "did you mean 'weights'"]),
        (
            {"methods": {"a": {"settings": {"layers": ["layer3", "layer2"]}}}},
            ["methods.a.settings.layers", "shallow first"],
        ),
        (
            {"methods": {"a": {"settings": {"layers": []}}}},
            ["methods.a.settings.layers", "at least one"],
        ),
        ({"methods": {"a": {"settings": [1]}}}, ["methods.a.settings", "[1]"]),
        (
            {"methods": {"losses": {"detectr": "apc"}}},
            ["methods.losses", "did you mean 'detector'"],
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, parts):
    text = refusal(**values)
    assert [part for part in parts if part not in text] == []


def test_the_nearest_setting_is_one_that_this_detector_has():
    method = {"settings": {"step": 1}}
    assert "did you mean 'steps'" in refusal(methods={"a": {"detector": "apc", **method}})
    assert "steps" not in refusal(methods={"a": {"detector": "patchcore", **method}})
    losses = {"detector": "apc", "settings": {"losses": {"classificaton": 1}}}
    assert "did you mean 'classification'" in refusal(methods={"a": losses})


def test_losses_must_not_all_be_off():
    assert "at least one of classification" in refusal(
        methods={
            "a": {"detector": "apc", "settings": {"losses": dict.fromkeys(Losses.model_fields, 0)}}
        }
    )


def test_settings_cannot_be_changed_afterwards():
    sweep = make_sweep({"methods": METHODS}, source="test")
    with pytest.raises(ValidationError):
        sweep.reserve = 3
    with pytest.raises(ValidationError):
        sweep.methods["a"].settings.sigma = 1.0


def test_what_is_written_to_a_run_folder_gives_the_same_sweep_again():
    methods = {
        "apc": {
            "detector": "apc",
            "settings": {"steps": 7, "losses": {"reconstruction": 0}},
            "weights": "w.pth",
        },
        **METHODS,
    }
    sweep = make_sweep(
        {"methods": methods, "synthetic": {"seed": 3}, "shots": [4, 2]}, source="test"
    )
    stored = json.loads(json.dumps(sweep.model_dump(mode="json")))
    assert Sweep.model_validate(stored) == sweep
    assert sweep.shots == (2, 4)


def test_whole_numbers_and_decimals_of_one_value_are_one_method():
    one, two = (
        Method.model_validate({"settings": {"coreset_ratio": value, "sigma": value}}).identity()
        for value in (1, 1.0)
    )
    assert digest(one) == digest(two)


def test_seeds_shots_methods_and_categories_may_be_added_to_a_run_and_nothing_else():
    free = {"job", "categories", "methods", "only", "shots", "seeds"}
    whole = make_sweep({"methods": METHODS, "part": "dev", "unseen": "crack"}, source="test")
    folds = make_sweep({"methods": METHODS, "protocol": "crossfit"}, source="test")
    assert {*whole.fixed(), *folds.fixed()} == set(Sweep.model_fields) - free


def test_messages_list_names_and_suggest_the_nearest():
    assert listed(["a", "b"]) == "a, b"
    assert listed((str(number) for number in range(11)), 3) == "0, 1, 2 … and 8 more"
    assert (
        unknown("category", "botle", ["cable", "bottle"])
        == "unknown category 'botle' (known: bottle, cable); did you mean 'bottle'?"
    )
    assert unknown("category", "zzz", ["cable"]) == "unknown category 'zzz' (known: cable)"
