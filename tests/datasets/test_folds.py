"""Cross-fitting: every defect is tested once an assignment, on models that saw none of its
photos.
"""

from collections import Counter

import pytest
from datasets_support import categories, category_of, hashes
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apc_bench.datasets.split import Split, make_split
from apc_bench.errors import DataError
from apc_bench.settings.protocols import CrossFit


def fold_of(category, seed: int, folds: int) -> Split:
    return make_split(category, hashes(category), CrossFit(folds=folds), dataset="d", seed=seed)


@settings(max_examples=60, deadline=None)
@given(categories(), st.integers(2, 6), st.integers(0, 2))
def test_each_group_is_tested_in_one_fold_and_taught_in_all_others(category, folds, assignment):
    groups = {sample.group for sample in category.samples if sample.anomalous}
    assume(len(groups) >= folds)
    splits = [fold_of(category, assignment * folds + fold, folds) for fold in range(folds)]
    tested = [
        {row.sample.group for row in split.rows if row.split == "test" and row.sample.anomalous}
        for split in splits
    ]
    assert sorted(group for fold in tested for group in fold) == sorted(groups)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for split, fold in zip(splits, tested, strict=True):
        taught = [split.rows[row].sample.group for row in split.drawn(None)]
        assert sorted(taught) == sorted(groups - fold)
        assert [
            row.sample for row in split.rows if row.split == "test" and not row.sample.anomalous
        ] == [sample for sample in category.samples if not sample.anomalous and not sample.training]


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 5), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_defect_type_is_spread_over_the_folds(folds, numbers):
    assume(sum(numbers) >= folds)
    category = category_of(
        [1] * 4, 2, {f"k{kind}": [1] * number for kind, number in enumerate(numbers)}
    )
    found = [fold_of(category, fold, folds) for fold in range(folds)]
    for kind, number in enumerate(numbers):
        counts = [
            sum(row.split == "test" and row.sample.defect_type == f"k{kind}" for row in split.rows)
            for split in found
        ]
        assert sum(counts) == number
        assert max(counts) - min(counts) <= 1


def test_another_assignment_deals_anew_and_the_same_seed_never():
    category = category_of([1] * 4, 2, {"k": [1] * 12})
    tested = [
        {row.sample.image for row in fold_of(category, seed, 3).rows if row.split == "test"}
        for seed in range(6)
    ]
    assert tested[:3] != tested[3:]
    assert fold_of(category, 4, 3) == fold_of(category, 4, 3)


def test_too_few_defects_for_the_folds_are_counted():
    category = category_of([1] * 4, 2, {"k": [1, 2, 1]})
    with pytest.raises(
        DataError, match="5 folds need 5 groups of anomalous images, there are 3; pass --folds 3"
    ):
        fold_of(category, 0, 5)
    with pytest.raises(DataError, match="there are 1; photograph more defects"):
        fold_of(category_of([1] * 4, 2, {"k": [4]}), 0, 2)


def test_counts_of_the_types_in_draw_order_alternate():
    category = category_of([1] * 4, 2, {"a": [1] * 5, "b": [1] * 5})
    split = fold_of(category, 0, 5)
    kinds = [split.rows[row].sample.defect_type for row in split.drawn(None)]
    assert all(Counter(kinds[:n]).most_common(1)[0][1] <= n // 2 + 1 for n in range(2, 9))
