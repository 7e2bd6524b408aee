"""The settings of a run, read by people."""

from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.job import sweep_from
from apc_bench.settings.listing import as_said_today


def test_recorded_settings_are_those_that_ran_under_the_names_that_set_takes():
    sweep, _ = sweep_from("quickstart", {"only": ("patchcore", "apc")})
    recorded = sweep.model_dump(mode="json")
    assert "rate_extractor" in recorded["methods"]["apc"]["settings"]  # as files have it
    said = as_said_today(recorded)
    assert list(said["methods"]) == ["patchcore", "apc"]
    assert set(said["methods"]["apc"]["settings"]) == set(DETECTORS["apc"].model_fields)
    names = {"shots", "seeds", "image_size", "only"}
    assert {name: said[name] for name in names} == {name: recorded[name] for name in names}


def test_another_package_s_settings_stay_as_they_are():
    method = {"detector": "elsewhere", "backbone": "none", "settings": {"rate_extractor": 1}}
    assert as_said_today({"methods": {"m": method}})["methods"] == {"m": method}
