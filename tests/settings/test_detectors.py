"""The detectors' settings: what their ids rest on, and the names they had before."""

import pytest
from pydantic import ValidationError

from apc_bench.settings.detectors import DETECTORS, ApcSettings, Losses, PatchCoreSettings
from apc_bench.settings.sweep import Method, Sweep, SyntheticData, make_sweep


def test_the_papers_weights_are_the_default():
    assert ApcSettings().losses == Losses(classification=10, segmentation=1, reconstruction=1)
    assert PatchCoreSettings().model_dump(
        include={
            "layers",
            "neighbourhood",
            "coreset_ratio",
            "distance",
            "reweight_neighbours",
            "sigma",
        }
    ) == {
        "layers": ("layer2", "layer3"),
        "neighbourhood": 3,
        "coreset_ratio": 0.1,
        "distance": "squared",
        "reweight_neighbours": 0,
        "sigma": 4.0,
    }


def test_a_method_takes_no_settings_of_another_detector():
    assert Method(detector="apc").settings == ApcSettings()
    with pytest.raises(ValidationError, match="another detector"):
        Method(detector="apc", settings=PatchCoreSettings())
    with pytest.raises(ValidationError, match="another detector"):
        Method(detector="patchcore", settings=ApcSettings())


def test_what_a_fine_tuning_depends_on_leaves_the_memory_bank_out():
    plain = ApcSettings().training()
    for bank in (
        {"coreset_ratio": 0.5},
        {"sigma": 1},
        {"layers": ("layer1", "layer2")},
        {"bank_max": 9},
        {"distance": "euclidean"},
        {"weight_interpolation": 0.9},
    ):
        assert ApcSettings.model_validate(bank).training() == plain
    for training in (
        {"steps": 1},
        {"losses": {"segmentation": 0}},
        {"layers": ("layer2", "layer4")},
        {"flip": False},
        {"crop": None},
        {"skips": "none"},
    ):
        assert ApcSettings.model_validate(training).training() != plain


def test_ids_and_run_folders_know_a_renamed_setting_by_its_first_name():
    methods = {
        "apc": {"detector": "apc", "settings": {"rate_extractor": 0.5}},
        "plus": {"detector": "apc+", "settings": {"classifier_learning_rate": 0.125}},
        "prnet": {"detector": "prnet", "settings": {"rate": 0.0625}},
    }
    sweep = make_sweep({"methods": methods}, source="test")
    dumped = sweep.model_dump(mode="json")["methods"]
    assert dumped["apc"]["settings"]["rate_extractor"] == 0.5
    assert dumped["plus"]["settings"]["classifier_rate"] == 0.125
    prnet = sweep.methods["prnet"]
    for values in (prnet.identity()["settings"], prnet.settings.training()):
        assert values["rate"] == 0.0625
        assert "learning_rate" not in values
    assert type(sweep).model_validate(sweep.model_dump(mode="json")) == sweep


def test_every_setting_is_described_in_one_line():
    models = (Sweep, Method, SyntheticData, Losses, *DETECTORS.values())
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert "\n" not in field.description, f"{model.__name__}.{name}"
