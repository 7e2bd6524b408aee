"""Metrics against scikit-learn and brute force, with ties, one class only and empty masks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from apc_bench.metrics.exact import (
    PixelRanking,
    Ranking,
    at_threshold,
    calibrated_threshold,
    clopper_pearson,
)


@st.composite
def scored(draw, *, both: bool = True):
    count = draw(st.integers(2, 60))
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    scores = (
        np.array(draw(st.lists(st.integers(0, levels), min_size=count, max_size=count)), np.float32)
        / 7
    )
    labels = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    if both:
        labels[:2] = True, False
    return scores, labels


@given(scored())
def test_auroc_ap_and_f1_are_those_of_scikit_learn(data):
    scores, labels = data
    ranking = Ranking.of(scores, labels)
    assert ranking.auroc().value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ranking.average_precision().value == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )
    precision, recall, _ = precision_recall_curve(labels, scores)
    best, threshold = ranking.f1_max()
    assert best.value == pytest.approx(
        (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max(), abs=1e-12
    )
    assert f1_score(labels, scores >= threshold) == pytest.approx(best.value, abs=1e-12)


@given(scored(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_no_bit(data, random):
    scores, labels = data
    order = list(range(len(scores)))
    random.shuffle(order)
    one, two = Ranking.of(scores, labels), Ranking.of(scores[order], labels[order])
    assert one.auroc() == two.auroc()
    assert one.average_precision() == two.average_precision()
    assert one.f1_max() == two.f1_max()


@pytest.mark.parametrize(
    ("label", "reason"), [(True, "nothing normal"), (False, "nothing anomalous")]
)
def test_with_one_class_only_every_metric_is_null_with_its_reason(label, reason):
    scores, labels = np.arange(4.0), np.full(4, label)
    ranking = Ranking.of(scores, labels)
    for measure in (ranking.auroc(), ranking.average_precision(), ranking.f1_max()[0]):
        assert measure.value is None
        assert measure.reason.startswith(reason)
    assert ranking.f1_max()[1] is None
    assert all(len(axis) == 0 for axis in (*ranking.roc(), *ranking.precision_recall()))
    maps, masks = [np.ones((4, 4), np.float32)], [np.full((4, 4), label)]
    assert PixelRanking.of(maps, masks).au_pro().value is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        Ranking.of(np.array([0.0, bad]), np.array([True, False]))
    with pytest.raises(ValueError, match="finite"):
        PixelRanking.of([np.array([[0.0, bad]], np.float32)], [np.array([[True, False]])])


@given(scored())
def test_curve_points_are_vertices_of_the_exact_curve(data):
    scores, labels = data
    ranking = Ranking.of(scores, labels)
    rates = set(
        zip(
            *(axis.round(9) for axis in roc_curve(labels, scores, drop_intermediate=False)[:2]),
            strict=True,
        )
    )
    x, y, thresholds = ranking.roc()
    assert {(a, b) for a, b in zip(x.round(9), y.round(9), strict=True)} <= rates
    assert (np.diff(thresholds) < 0).all()
    recall, precision, thresholds = ranking.precision_recall(points=3)
    assert len(recall) <= 3
    for r, p, at in zip(recall, precision, thresholds, strict=True):
        called = scores >= at
        assert r == pytest.approx((called & labels).sum() / labels.sum())
        assert p == pytest.approx((called & labels).sum() / called.sum())


def plain_pro(maps, masks, limit):
    """MVTec's definition with a vertex at every distinct score."""
    regions = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(index, labels == number) for number in range(1, count + 1)]
    normal = np.concatenate([one[~mask] for one, mask in zip(maps, masks, strict=True)])
    x, y = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([one.ravel() for one in maps]))[::-1]:
        x.append((normal >= threshold).mean())
        y.append(np.mean([(maps[index][region] >= threshold).mean() for index, region in regions]))
    x, y = np.array(x), np.array(y)
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(zip(x, y, strict=True)):
        if x0 >= limit:
            break
        if x1 > limit:
            y1, x1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0), limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([2, 4, 30, 10**6]),
    st.sampled_from([0.05, 0.3, 1.0]),
    st.integers(1, 4),
)
def test_au_pro_is_that_of_brute_force(seed, levels, limit, count):
    generator = np.random.default_rng(seed)
    shapes = [(int(generator.integers(2, 9)), int(generator.integers(2, 9))) for _ in range(count)]
    maps = [generator.integers(0, levels, shape).astype(np.float32) for shape in shapes]
    masks = [generator.random(shape) < generator.choice([0, 0.2, 0.6]) for shape in shapes]
    masks[0].flat[:2] = True, False
    found = PixelRanking.of(maps, masks).au_pro(limit=limit)
    assert found.value == pytest.approx(plain_pro(maps, masks, limit), abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([2, 4, 30]))
def test_the_order_of_images_changes_no_bit_of_the_region_overlap(seed, levels):
    generator = np.random.default_rng(seed)
    maps = [generator.integers(0, levels, (6, 7)).astype(np.float32) for _ in range(5)]
    masks = [generator.random((6, 7)) < 0.3 for _ in range(5)]
    order = generator.permutation(5)
    one, two = (
        PixelRanking.of(maps, masks),
        PixelRanking.of([maps[i] for i in order], [masks[i] for i in order]),
    )
    assert one.au_pro() == two.au_pro()
    assert all(np.array_equal(a, b) for a, b in zip(one.pro(), two.pro(), strict=True))


def test_regions_touching_at_a_corner_are_one():
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    ranking = PixelRanking.of([np.arange(9, dtype=np.float32).reshape(3, 3)], [mask])
    assert ranking.weights.tolist() == [0.5, 0.5]


def test_pixels_of_all_images_are_ranked_together():
    generator = np.random.default_rng(0)
    maps = [
        generator.normal(size=(5, 6)).astype(np.float32),
        generator.normal(size=(3, 3)).astype(np.float32),
    ]
    masks = [generator.random((5, 6)) < 0.3, np.zeros((3, 3), bool)]
    labels, scores = (
        np.concatenate([m.ravel() for m in masks]),
        np.concatenate([m.ravel() for m in maps]),
    )
    assert PixelRanking.of(maps, masks).pixels.auroc().value == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=200), st.sampled_from([0.01, 0.05, 0.1, 0.25])
)
def test_the_calibrated_threshold_is_the_conformal_quantile(values, alpha):
    scores = np.array(values, np.float64)
    found = calibrated_threshold(scores, alpha=alpha)
    if alpha < 1 / (len(scores) + 1):
        assert found.value is None
        assert str(len(scores)) in found.reason
        assert f"{100 * alpha:g} %" in found.reason
    else:
        allowed = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
        assert found.value == np.sort(scores)[::-1][allowed - 1]


def test_the_calibrated_threshold_keeps_its_promise_on_average():
    """Over many draws a new normal image exceeds it with at most alpha, and not with much less."""
    generator = np.random.default_rng(0)
    rates = [
        (
            generator.normal(size=200)
            > calibrated_threshold(generator.normal(size=39), alpha=0.1).value
        ).mean()
        for _ in range(2000)
    ]
    assert 0.095 < np.mean(rates) <= 0.1035


def test_figures_at_a_threshold_by_hand():
    scores = np.array([0.1, 0.5, 0.5, 0.9, 0.4])
    labels = np.array([False, False, True, True, True])
    found = at_threshold(scores, labels, calibrated_threshold(np.array([0.45]), alpha=0.5))
    assert found.f1_calibrated.value == pytest.approx(f1_score(labels, scores > 0.45))
    assert found.missed_rate.value == pytest.approx(1 / 3)
    assert found.false_alarm_rate.value == pytest.approx(1 / 2)
    undefined = at_threshold(scores, labels, calibrated_threshold(np.zeros(0), alpha=0.05))
    assert undefined.f1_calibrated.value is None
    assert "0 calibration images" in undefined.f1_calibrated.reason


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_is_scipy_s_exact_interval(counts):
    successes, trials = counts
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )
