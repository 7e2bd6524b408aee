"""The plan: the union of what every sweep planned."""

from dataclasses import replace

import polars as pl
import pytest
from store_support import TRIALS, TUNING, alter

from apc_bench.errors import DamagedFile
from apc_bench.store.schemas import PLAN


def test_the_plan_is_the_union_of_all_sweeps_on_the_folder(run):
    added = replace(TRIALS[3], seed=7, result_key="k5", trial_id="t5")
    run.planned.add([added, TRIALS[0]])
    assert run.plan()["result_key"].to_list() == ["e0", "k1", "k2", "k3", "k4", "k5"]
    assert run.plan().schema == pl.from_arrow(PLAN.empty_table()).schema
    assert run.plan()["title"].to_list()[-1] == "patchcore"


def test_a_damaged_plan_is_named_and_written_anew_instead_of_ending_every_sweep(run):
    alter(run.path / "plan.parquet")
    with pytest.raises(DamagedFile, match=r"plan\.parquet"):
        run.plan()
    run.planned.add(TRIALS[:2])
    assert run.plan()["result_key"].to_list() == ["k1", "k2"]
    assert "plan.parquet" in run.damaged[0]
    run.planned.add([TUNING, *TRIALS])
    assert len(run.metrics()) == 4
