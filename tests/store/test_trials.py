"""Results of trials: whole, or named and done again, and never silently wrong."""

import shutil

import numpy as np
import pytest
from store_support import SPOILT, TRIALS, TUNING, alter, file_of, result_of

from apc_bench.errors import ApcError, DamagedFile, RunError


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("kind", ["scores", "maps", "curves", "features", "metrics"])
def test_a_trial_is_not_done_when_any_of_its_files_is_spoilt_and_the_file_is_named(run, kind, how):
    victim = file_of(run, kind, "k2")
    SPOILT[how](victim)
    assert not run.is_done(TRIALS[1])
    if (kind, how) == ("metrics", "missing"):
        assert run.damaged == []  # never written last, so never done
    else:
        assert len(run.damaged) == 1
        assert str(victim) in run.damaged[0]
    assert all(run.is_done(step) for step in (TUNING, TRIALS[0], *TRIALS[2:]))
    run.trials.write(TRIALS[1], result_of(TRIALS[1]))
    assert run.is_done(TRIALS[1])


def test_a_result_under_another_name_is_not_that_result(run):
    for kind in ("scores", "maps", "curves", "features", "metrics"):
        shutil.copy(file_of(run, kind, "k3"), file_of(run, kind, "k4"))
    assert not run.is_done(TRIALS[3])
    assert "holds the result k3" in run.damaged[0]
    for read in (run.scores, run.maps, run.curves):
        with pytest.raises(DamagedFile, match="holds the result k3"):
            read("k4")
    assert run.metrics()["result_key"].to_list() == ["k1", "k2", "k3"]


def test_files_of_one_trial_are_not_taken_for_each_other(run):
    shutil.copy(file_of(run, "scores", "k1"), file_of(run, "maps", "k1"))
    with pytest.raises(DamagedFile, match="other columns"):
        run.maps("k1")
    assert not run.is_done(TRIALS[0])


def test_flipped_bits_in_maps_are_never_silently_wrong(run):
    """The grid and the scale stand in the footer, which no page checksum covers."""
    path = file_of(run, "maps", "k1")
    whole, (_, expected) = path.read_bytes(), run.maps("k1")
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.choice(len(whole) * 8, 200, replace=False):
        data = bytearray(whole)
        data[place // 8] ^= 1 << int(place % 8)
        path.write_bytes(data)
        try:
            _, maps = run.maps("k1")
        except ApcError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert np.array_equal(maps, expected)
    assert refused > 100


def test_damaged_metrics_are_named_and_the_rest_is_read(run):
    victim = file_of(run, "metrics", "k2")
    alter(victim)
    assert run.metrics()["result_key"].to_list() == ["k1", "k3", "k4"]
    assert [str(victim) in line for line in run.damaged] == [True]


def test_several_damaged_metrics_are_named_in_the_order_of_the_plan(run):
    victims = [file_of(run, "metrics", key) for key in ("k4", "k1", "k3")]
    for victim in victims:
        alter(victim)
    assert run.metrics()["result_key"].to_list() == ["k2"]
    assert [line.split(":")[0] for line in run.damaged] == [
        str(victims[1]),
        str(victims[2]),
        str(victims[0]),
    ]


def test_images_are_counted_without_those_of_damaged_scores(run):
    keys = [step.result_key for step in TRIALS]
    assert run.image_counts(keys) == dict.fromkeys(keys, 4)
    file_of(run, "scores", "k1").write_bytes(b"")
    file_of(run, "scores", "k2").unlink()
    shutil.copy(file_of(run, "scores", "k3"), file_of(run, "scores", "k4"))
    assert run.image_counts(keys) == {"k3": 4}


@pytest.mark.parametrize("kind", ["scores", "curves"])
def test_many_trials_read_at_once_are_what_each_of_them_is_and_damaged_ones_are_named(run, kind):
    one, many = getattr(run, kind), getattr(run, f"{kind}_of")
    single = {key: one(key) for key in ("k4", "k2", "k3")}
    alter(file_of(run, kind, "k1"))
    read = many(["k4", "k1", "k2", "k3"])
    assert list(read) == ["k4", "k2", "k3"]
    assert all(read[key].equals(single[key]) for key in read)
    assert [str(file_of(run, kind, "k1")) in line for line in run.damaged] == [True]
    few = single["k3"].columns[2:4]
    assert many(["k3"], few)["k3"].equals(single["k3"].select(few))
    with pytest.raises(RunError, match="no step k9"):
        many(["k9"])


def test_steps_looked_at_together_are_done_and_damaged_as_each_by_itself(run):
    alter(file_of(run, "maps", "k3"))
    file_of(run, "curves", "k1").unlink()
    steps = (TRIALS[2], TUNING, *TRIALS[:2], TRIALS[3])
    assert run.done(steps) == {"e0", "k2", "k4"}
    assert ["maps" in line for line in run.damaged] == [True, False]  # in the order of the steps
