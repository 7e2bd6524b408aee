"""Fine-tuned extractors: whole, or done again."""

import shutil

import pytest
from store_support import SPOILT, TUNING

from apc_bench.errors import DamagedFile


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
@pytest.mark.parametrize("how", ["altered", "empty"])
def test_an_extractor_is_not_done_when_weights_or_curves_are_spoilt(run, ending, how):
    SPOILT[how](run.path / "extractors" / f"e0.{ending}")
    assert not run.is_done(TUNING)
    assert f"e0.{ending}" in run.damaged[0]
    with pytest.raises(DamagedFile):
        run.extractors.read("e0")


def test_an_extractor_under_another_name_is_not_that_extractor(run):
    folder = run.path / "extractors"
    for ending in ("parquet", "safetensors"):
        shutil.copy(folder / f"e0.{ending}", folder / f"e1.{ending}")
    with pytest.raises(DamagedFile, match="holds the result e0"):
        run.extractors.verify("e1", run.known)
