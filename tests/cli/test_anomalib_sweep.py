"""anomalib's models from the command to the report: one that learns in one pass, one that is trained,
and one that learns from the drawn images.
"""

import json

import polars as pl
import pytest
from support import apc_bench, make_category

from apc_bench.settings import anomalib

pytest.importorskip("anomalib", reason="anomalib is not installed (the extra 'anomalib')")

JOB = """
image_size: 72
reserve: 2
shots: [1, 2]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  padim: {title: PaDiM, detector: anomalib, backbone: builtin, settings: {model: Padim, layers: [layer2], model_args: {n_features: 8}}}
  stfpm: {title: STFPM, detector: anomalib, backbone: builtin, settings: {model: Stfpm, steps: 2, batch_size: 2}}
  ssn: {title: SSN, detector: anomalib, backbone: builtin, settings: {model: SuperSimpleNet, layers: [layer2], epochs: 1, model_args: {supervised: true}}}
"""


def test_they_are_swept_reported_and_resumed_as_any_other_system(tmp_path, monkeypatch):
    make_category(tmp_path / "data", train=8, good=3, defects=4, size=40)
    (tmp_path / "job.yaml").write_text(JOB)

    def sweep(*more: object, code: int = 0) -> str:
        options = ("--job", tmp_path / "job.yaml", "--data", tmp_path / "data")
        places = ("--run", tmp_path / "run", "--cache", tmp_path / "cache")
        return apc_bench(
            "sweep", *options, *places, "--executor", "serial", *more, code=code
        ).output

    said = sweep("--no-page", "--shots", "1", "--methods", "patchcore,padim,stfpm")
    assert "anomalib's Padim learns from normal images alone: it is scored once" in said
    assert "anomalib's Stfpm is trained for 2 steps, 2 images a step" in said
    said = sweep()
    assert "7 steps done" not in said and "4 were done before" in said
    found = pl.read_parquet(f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True).filter(
        pl.col("subset") == "test"
    )
    shots = {
        name: sorted(found.filter(pl.col("method") == name)["shots"].to_list())
        for name in ("patchcore", "padim", "stfpm", "ssn")
    }
    assert shots == {"patchcore": [0], "padim": [0], "stfpm": [0], "ssn": [1, 2]}
    assert found["image_auroc"].is_not_nan().all()
    assert found.filter(pl.col("method") == "padim")["image_auroc"].item() == 1.0
    packages = f"anomalib {anomalib.version('anomalib')}, lightning {anomalib.version('lightning')}"
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert info["weights"]["padim"]["package"].startswith(packages)
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert all(title in page for title in ("PaDiM", "STFPM", "SSN", packages))
    curves = pl.read_parquet(f"{tmp_path}/run/extractors/**/*.parquet", hive_partitioning=True)
    assert curves.filter(pl.col("method") == "stfpm")["loss"].len() == 2
    wrong = sweep("--set", "padim.model_args.n_feature=3", "--run", tmp_path / "no", code=2)
    assert (
        "method 'padim': model_args: unknown argument of anomalib's Padim 'n_feature' (known: n_features)"
        in wrong
    )
    monkeypatch.setattr(anomalib, "version", lambda name: "0.1")
    planned = sweep("--dry-run")
    assert planned.count("done  score") == 1, "of another version of anomalib all is computed anew"
