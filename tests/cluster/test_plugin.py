"""The README's detector, as an installed package, on workers of Ray."""

import os

import pytest
from plugin_support import JOB, example, install
from processes import finish, scores_of, sweep
from support import make_category

pytestmark = pytest.mark.ray


def test_a_detector_of_another_package_gives_the_same_scores_through_ray(tmp_path, monkeypatch):
    detector, toml, reader = example()
    install(tmp_path / "site", "apc-deviation", {"deviation": detector, "labels": reader}, toml)
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")])),
    )
    make_category(tmp_path / "data", train=44, good=4, defects=5)
    (tmp_path / "job.yaml").write_text(JOB)
    given = ("--job", str(tmp_path / "job.yaml"), "--data", str(tmp_path / "data"))
    finish(sweep(tmp_path, "serial", *given, "--executor", "serial"))
    finish(sweep(tmp_path, "ray", *given, "--executor", "ray"))
    scores = scores_of(tmp_path / "ray")
    assert set(scores["method"]) == {"mine"}
    assert scores.equals(scores_of(tmp_path / "serial"))
