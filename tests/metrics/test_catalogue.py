"""The catalogue of metrics: whole, and of one mind with what is computed and stored."""

from dataclasses import fields

from apc_bench.metrics.catalogue import (
    AT_THRESHOLD,
    AUROCS,
    CATALOGUE,
    COMPARED_COSTS,
    COSTS,
    IMAGE,
    METRICS,
    PIXEL,
    POSTER,
    TRIAL,
)
from apc_bench.metrics.exact import AtThreshold
from apc_bench.store.schemas import METRICS_TABLE


def test_every_metric_is_a_column_of_the_metrics_table_and_has_all_its_words():
    for name, metric in CATALOGUE.items():
        assert metric.name == name
        assert name in METRICS_TABLE.names
        assert all((metric.heading, metric.label, metric.title, metric.unit, metric.definition))
        assert metric.level in (IMAGE, PIXEL, TRIAL)
    stored = [name for name in METRICS_TABLE.names if name.startswith(("seconds_", "peak_"))]
    assert set(stored) == set(COSTS)


def test_selections_are_of_the_catalogue_and_headings_tell_metrics_apart():
    for names in (METRICS, AT_THRESHOLD, COSTS, POSTER, AUROCS, COMPARED_COSTS):
        assert set(names) <= CATALOGUE.keys()
    for names in (METRICS, COSTS):
        assert len({CATALOGUE[name].heading for name in names}) == len(names)
    assert {field.name for field in fields(AtThreshold)} == set(AT_THRESHOLD)


def test_of_every_metric_over_the_whole_curve_more_is_better():
    """Bold figures, wins and the gate rely on it."""
    assert all(CATALOGUE[name].higher_is_better for name in METRICS)


def test_worse_is_less_of_a_metric_and_more_of_a_cost():
    assert CATALOGUE["image_auroc"].is_worse(-0.01)
    assert not CATALOGUE["image_auroc"].is_worse(0.01)
    assert CATALOGUE["seconds_total"].is_worse(3)
    assert not CATALOGUE["missed_rate"].is_worse(-0.1)
    assert not CATALOGUE["au_pro"].is_worse(0)
