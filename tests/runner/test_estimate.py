"""How long a sweep will take: every kind of work is measured once, and what is planned is counted
by system.
"""

import math
import multiprocessing
import os
import signal
from dataclasses import replace

import pytest
from support import make_category

from apc_bench.files.machine import Usable
from apc_bench.plan import EXTRACTOR
from apc_bench.runner import estimate as estimates
from apc_bench.runner import foretold as foretelling
from apc_bench.runner import measuring
from apc_bench.runner.estimate import estimate
from apc_bench.runner.examples import pictures
from apc_bench.runner.executors import ray_place
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.foretold import estimate_apart, foretold, longest
from apc_bench.runner.prepare import Prepared, prepare
from apc_bench.runner.rates import CALIBRATED, PER_STEP, BankRates, Rates, step_seconds
from apc_bench.settings.sweep import make_sweep
from apc_bench.store.cache import Cache

SERIAL = Execution(executor="serial")
SMALL = {"pretrain_dim": 16, "target_dim": 16}
TRAINED = {"steps": 5, "batch": 4}
METHODS = {
    "frozen": {"detector": "patchcore", "backbone": "builtin", "settings": SMALL},
    "tuned": {"detector": "apc", "backbone": "builtin", "settings": {**SMALL, **TRAINED}},
}


@pytest.fixture
def prepared(tmp_path):
    """A sweep of two categories as it is planned, with other methods or settings where asked."""
    for name in ("one", "two"):
        make_category(tmp_path / "data", name, train=8)

    def make(methods=METHODS, **settings) -> Prepared:
        chosen = {"image_size": 32, "reserve": 2, "shots": (1, 2), "seeds": (0, 1, 2)}
        values = {**chosen, "device": "cpu", "methods": methods, **settings}
        sweep = make_sweep(values, source="test")
        said: list[str] = []
        cache = Cache(tmp_path / "cache")
        return prepare(sweep, tmp_path / "data", cache, say=said.append, dry=True)

    return make


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The detectors whose work was measured, in turn; the rates are made up."""
    names: list[str] = []

    def rates(self) -> Rates:
        names.append(self.method.detector)
        return Rates(training=3.0, steps={"steps": 2.0}, fitting=1.0, remembered={"key": 10.0})

    monkeypatch.setattr(measuring._Measured, "rates", rates)
    return names


def by_title(prepared: Prepared, execution: Execution = SERIAL) -> dict:
    told = estimate(prepared, prepared.steps, execution)
    return {system.title: system for system in told.systems}


def test_steps_are_counted_by_system(prepared, measured):
    systems = by_title(prepared())
    assert (systems["frozen"].tunings, systems["frozen"].trials) == (0, 2 * 3)
    assert (systems["tuned"].tunings, systems["tuned"].trials) == (2 * 2 * 3, 2 * 2 * 3)


def test_a_fine_tuning_is_as_long_as_its_steps(prepared, measured):
    systems = by_title(prepared())
    frozen_features = 10.0 * (8 + 3 + 4)
    paid = 2 * frozen_features / 12  # by the first step of either category
    assert systems["tuned"].tuning == pytest.approx(PER_STEP + 3.0 + 5 * 2.0 + paid)
    assert systems["tuned"].trial == pytest.approx(PER_STEP + 1.0)
    assert systems["frozen"].trial == pytest.approx(PER_STEP + 1.0)


def test_frozen_features_are_paid_for_once_by_category(prepared, measured):
    only = prepared(only=("frozen",))
    once = 2 * 10.0 * (8 + 3 + 4)
    seconds = estimate(only, only.steps, SERIAL).systems[0].seconds
    assert seconds == pytest.approx(once + 6 * (PER_STEP + 1.0))


def test_what_is_done_does_not_count(prepared, measured):
    whole = prepared()
    left = [step for step in whole.steps if step.kind != EXTRACTOR and step.method == "tuned"]
    systems = estimate(whole, left[:5], SERIAL).systems
    assert [(system.title, system.tunings, system.trials) for system in systems] == [
        ("tuned", 0, 5)
    ]


def test_a_kind_of_work_is_measured_once(prepared, measured):
    longer = {**METHODS["tuned"], "settings": {**SMALL, **TRAINED, "steps": 50}, "title": "longer"}
    systems = by_title(prepared({**METHODS, "longer": longer}))
    assert sorted(measured) == ["apc", "patchcore"]
    # Whose fine-tunings come first has paid for the frozen features.
    paid = 2 * 10.0 * (8 + 3 + 4) / 12
    more = systems["longer"].tuning - systems["tuned"].tuning
    assert more == pytest.approx(45 * 2.0 + paid)


def test_steps_share_the_cores(prepared, measured, monkeypatch):
    for module in (estimates, ray_place):
        monkeypatch.setattr(module, "usable_cores", lambda: Usable(4, 4))
    plan = prepared()
    expected = {1: 1, 2: 2, 4: 4, 16: 4}
    for workers, at_once in expected.items():
        told = estimate(plan, plan.steps, Execution(executor="ray", workers=workers))
        assert told.at_once == at_once
        steps = math.fsum(system.seconds for system in told.systems)
        assert told.seconds == pytest.approx(told.beside + steps / at_once)
    two_threads = prepared(threads=2)
    assert estimate(two_threads, two_threads.steps, Execution(executor="ray")).at_once == 2
    assert estimate(plan, plan.steps, SERIAL).at_once == 1
    assert estimate(plan, plan.steps[:3], Execution(executor="ray")).at_once == 3


def test_more_images_make_a_trial_longer_by_their_share(prepared):
    plan = prepared()
    trial = next(step for step in plan.steps if step.kind != EXTRACTOR and step.method == "frozen")
    split = plan.planned[0].splits[0]
    # Eight normal images that calibrate each other; nine of ten others are tested, twice.
    rates = Rates(fitting_image=1.0, scoring_image=100.0, metrics_image=1e4)
    images = len(split.rows)
    tested = len(split.where("test"))
    expected = PER_STEP + 8 + 100.0 * images + 1e4 * (tested + images - 8)
    assert step_seconds(trial, split, rates) == pytest.approx(expected)
    bank = BankRates(patches=16, pairs=8 * 16 * 12, picking=7.0, closing=0.3, vector=1.0, pair=0.5)
    more = step_seconds(trial, split, replace(rates, bank=bank)) - expected
    searched = images - 8 + 8 * CALIBRATED
    assert more == pytest.approx(7.0 + 12 + (8 * 0.3 + searched * 0.5) * 16 * 12)


ALL = {
    **METHODS,
    "plus": {
        "detector": "apc+",
        "backbone": "builtin",
        "settings": {**SMALL, "classifier_steps": 5},
    },
    "mixed": {
        "detector": "apc+",
        "backbone": "builtin",
        "settings": {**SMALL, **TRAINED, "interpolation": 0.5, "frozen_bank": 1.0},
    },
    "prnet": {
        "detector": "prnet",
        "backbone": "builtin",
        "settings": {**TRAINED, "attention_layers": 1},
    },
    "deep": {"detector": "patchcore", "backbone": "resnet18", "settings": SMALL},
}


def test_every_detector_of_ours_is_really_measured_and_nothing_is_written(prepared, tmp_path):
    plan = prepared(ALL, shots=(2,), seeds=(0,))
    assert plan.missing, "the weights of resnet18 are not at hand: any will do"
    told = estimate_apart(plan, plan.steps, SERIAL)
    assert told.notes == ()
    assert {*told.steps} == {step.result_key for step in plan.steps}
    for system in told.systems:
        assert system.trial > PER_STEP
        assert (system.tuning is None) == (system.title in ("frozen", "deep"))
    known_of_files = {"hashes.json", "hashes.lock", "encodings"}
    assert {path.name for path in (tmp_path / "cache").iterdir()} <= known_of_files


class Watch:
    """Time that passes as a training says what it has done."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    def seconds(self, call):
        before, result = self.passed, call()
        return self.passed - before, result


@pytest.mark.parametrize("heavy", [False, True])
def test_a_step_costs_what_a_step_takes_and_not_what_the_training_does(
    prepared, tmp_path, monkeypatch, heavy
):
    """A patch classifier's are a thousandth of a network's, and its features are no steps."""
    ways = {
        "apc": ({"batch": 16}, [("fine-tuning", 8.0)]),
        "apc+": ({}, [("patches to learn from", 40.0), ("patch classifier", 0.01)]),
    }
    if heavy:
        monkeypatch.setattr(measuring, "HEAVY", 0.0)
    for detector, (settings, stages) in ways.items():
        plan = prepared(
            {"one": {"detector": detector, "backbone": "builtin", "settings": settings}}
        )
        some = pictures(plan.planned[0].category, plan.sweep)
        shared = measuring.Measuring(plan.sweep, some, 8)
        shared.watch = Watch()

        def train(self, given, progress, *, stages=stages, watch=shared.watch):
            watch.passed += 3.0
            for stage, each in stages:
                name = measuring.STEPS_OF.get(stage)
                for done in range(getattr(given, name) if name else 1):
                    first = 5.0 if name and done == 0 else 0.0
                    watch.passed += first + each * getattr(given, "batch", 16) / 16
                    progress(stage, done + 1, 100)

        monkeypatch.setattr(measuring._Measured, "_train", train)
        method = plan.sweep.methods["one"]
        one = measuring._Measured(shared, method, tmp_path, tmp_path)
        rates, _ = one._trained()
        if detector == "apc":
            assert rates.steps == pytest.approx({"steps": 8.0})
        else:
            assert rates.steps == pytest.approx({"classifier_steps": 0.01})
            views = 8 * len(one.examples.anomalous) + 60
            assert rates.in_view == pytest.approx(43.0 / views)


def killed(*_: object) -> None:
    """What memory does to a process that measures; in one of its own, or it were the test's."""
    assert multiprocessing.parent_process() is not None
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_long_sweep_is_foretold_and_a_short_one_starts_at_once(prepared, measured, monkeypatch):
    plan, said = prepared(), []
    monkeypatch.setattr(foretelling, "estimate_apart", estimate)
    assert foretold(plan, plan.steps, SERIAL, said.append) is None and not said
    monkeypatch.setitem(foretelling.LONG, "cpu", 0.0)
    seconds = foretold(plan, plan.steps, SERIAL, said.append)
    tuned = [step for step in plan.steps if step.kind == EXTRACTOR]
    assert seconds[tuned[-1].result_key] == pytest.approx(PER_STEP + 3.0 + 5 * 2.0)
    assert said[1] == "about 8 min on this machine; --dry-run tells it by system"
    monkeypatch.setattr(foretelling, "estimate", killed)
    monkeypatch.setattr(foretelling, "estimate_apart", estimate_apart)
    assert foretold(plan, plan.steps, SERIAL, said.append) is None
    assert said[-1].endswith("the start: the process that measures it was killed")


def test_what_takes_most_of_a_long_sweep_is_named_with_how_to_leave_it_out(prepared, measured):
    """Twelve fine-tunings of 400 steps of 2 s, and a minute of all else."""
    longer = {**METHODS["tuned"], "title": "Tuned", "settings": {**TRAINED, "steps": 400}}
    plan = prepared({**METHODS, "tuned": longer, "third": METHODS["frozen"]})
    told = estimate(plan, plan.steps, SERIAL)
    (line,) = longest(plan, plan.steps, told)
    assert line == "Tuned takes 2.8 h of it; --methods frozen,third leaves it out"
    for methods in ({"tuned": longer}, METHODS):
        other = prepared(methods)  # of one system, and one that is soon done
        assert not [*longest(other, other.steps, estimate(other, other.steps, SERIAL))]
    two = replace(told, at_once=2.0)
    assert next(longest(plan, plan.steps, two)).startswith("Tuned takes 83 min of it")


def test_a_classifier_s_training_grows_with_the_drawn_images(prepared):
    method = {"detector": "apc+", "backbone": "builtin", "settings": SMALL}
    plan = prepared({"plus": method})
    rates = Rates(in_view=0.5, steps={"classifier_steps": 0.01})
    seconds = {}
    for step in plan.steps:
        if step.kind == EXTRACTOR:
            split = plan.planned[0].splits[step.seed]
            seconds[step.shots] = step_seconds(step, split, rates)
    assert seconds[2] - seconds[1] == pytest.approx(0.5 * 8)
    assert seconds[1] == pytest.approx(PER_STEP + 500 * 0.01 + 0.5 * (8 + 60))
