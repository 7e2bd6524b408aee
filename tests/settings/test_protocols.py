"""A protocol is one class and one draw; all else asks it."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from datasets_support import category_of, hashes

from apc_bench.datasets.split import DRAWS, make_split
from apc_bench.errors import UsageError
from apc_bench.settings.protocols import PROTOCOLS, CrossFit, EvaluationProtocol, Holdout
from apc_bench.settings.sweep import make_sweep

METHODS = {"a": {"backbone": "builtin"}}


@dataclass(frozen=True, slots=True)
class FirstOnly(EvaluationProtocol):
    """Learns from the first anomalous image alone."""

    name: ClassVar[str] = "first_only"

    @classmethod
    def of(cls, settings):
        return cls(settings["reserve"])

    def check(self, settings):
        if settings["shots"] != (1,):
            raise ValueError("protocol first_only has one shot")

    def identity(self):
        return {"protocol": self.name}

    def no_test_image(self, kind, seed):
        return f"no {kind} image"

    def footnotes(self, seeds, *, full):
        yield "First only", "the first anomalous image is learned from"


def test_a_new_protocol_is_a_class_and_a_draw(monkeypatch):
    def first(protocol, category, dataset, seed):
        return [next(sample for sample in category.samples if sample.anomalous)]

    monkeypatch.setitem(PROTOCOLS, FirstOnly.name, FirstOnly)
    monkeypatch.setitem(DRAWS, FirstOnly.name, first)
    settings = {"methods": METHODS, "protocol": "first_only"}
    sweep = make_sweep({**settings, "shots": [1]}, source="test")
    assert sweep.split_identity() == {"protocol": "first_only"}
    with pytest.raises(UsageError, match="has one shot"):
        make_sweep(settings, source="test")
    category = category_of([1, 1], 2, {"hole": [1, 1, 1]})
    split = make_split(category, hashes(category), sweep.evaluation, dataset="d", seed=0)
    assert len(split.drawn(None)) == 1
    assert len(split.where("reserved")) == 1


def test_an_unknown_protocol_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"protocol: must be 'holdout' or 'crossfit'"):
        make_sweep({"methods": METHODS, "protocol": "bootstrap"}, source="test")


def test_hold_out_adds_nothing_to_ids_and_cross_fitting_its_folds():
    assert Holdout().identity() == {}
    assert Holdout(unseen="crack").identity() == {"unseen": "crack"}
    assert CrossFit(folds=3).identity() == {"protocol": "crossfit", "folds": 3}


def test_cross_fitting_takes_as_many_shots_as_the_smallest_fold_leaves():
    protocol = CrossFit(folds=3)
    assert protocol.shots((), 7, "bottle") == (7,)
    assert protocol.shots((2, 7), 7, "bottle") == (2, 7)
    with pytest.raises(ValueError, match="category 'bottle' has 7 to learn from"):
        protocol.shots((8,), 7, "bottle")
