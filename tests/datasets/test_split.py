"""Who trains and who is tested: the promises of docs/method.md section 5 over random categories
with groups.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from datasets_support import categories, category_of, hashes
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.samples import Category
from apc_bench.datasets.split import check_leaks, make_split
from apc_bench.errors import DataError
from apc_bench.settings.protocols import Holdout


def split_of(category: Category, seed: int, reserve: int):
    return make_split(category, hashes(category), Holdout(reserve), dataset="d", seed=seed)


@settings(max_examples=60, deadline=None)
@given(categories(), st.integers(0, 9), st.integers(1, 8))
def test_the_reserve_leaves_the_test_set_with_its_groups_and_shots_are_nested(
    category, seed, reserve
):
    anomalous = {sample.group for sample in category.samples if sample.anomalous}
    assume(reserve < len(anomalous))
    split = split_of(category, seed, reserve)
    samples = [row.sample for row in split.rows]
    drawn = split.drawn(reserve)
    assert len(drawn) == reserve
    assert len({samples[row].group for row in drawn}) == reserve
    test = split.where("test")
    assert not {samples[row].group for row in test} & {samples[row].group for row in drawn}
    assert set(split.where("reserved")) == {
        row for row, one in enumerate(samples) if one.group in {samples[d].group for d in drawn}
    }
    assert sorted([*test, *split.where("train"), *split.where("reserved")]) == list(
        range(len(samples))
    )
    for shots in range(1, reserve):
        assert split.drawn(shots) == drawn[:shots]
    kinds = Counter(samples[row].defect_type for row in drawn)
    available = Counter(
        {
            kind: len({one.group for one in samples if one.defect_type == kind})
            for kind in {one.defect_type for one in samples}
        }
    )
    types = {one.defect_type for one in samples if one.anomalous}
    for kind in types:
        assert kinds[kind] >= min(reserve // len(types), available[kind])


@settings(max_examples=60, deadline=None)
@given(categories(), st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_order_of_the_listing_changes_nothing(category, seed, random):
    assume(len({sample.group for sample in category.samples if sample.anomalous}) > 2)
    shuffled = list(category.samples)
    random.shuffle(shuffled)
    one, two = (
        split_of(category, seed, 2),
        split_of(replace(category, samples=tuple(shuffled)), seed, 2),
    )
    assert {(row.sample.image, row.split, row.draw, row.held_out) for row in one.rows} == {
        (row.sample.image, row.split, row.draw, row.held_out) for row in two.rows
    }


@given(categories(), st.integers(0, 3))
def test_held_out_images_are_whole_groups_and_never_more_than_half(category, seed):
    assume(len({sample.group for sample in category.samples if sample.anomalous}) > 1)
    split = split_of(category, seed, 1)
    train = [row for row in split.rows if row.split == "train"]
    held = [row for row in train if row.held_out]
    assert len(held) <= len(train) / 2
    assert not {row.sample.group for row in held} & {
        row.sample.group for row in train if not row.held_out
    }
    assert not any(row.held_out for row in split.rows if row.split != "train")


def test_of_many_normal_images_a_tenth_is_held_out_and_of_few_twenty():
    for count, held in ((60, 20), (300, 30), (10, 5)):
        split = split_of(category_of([1] * count, 1, {"k": [1, 1, 1]}), 0, 1)
        assert sum(row.held_out for row in split.rows) == held


def test_the_draw_does_not_depend_on_the_process():
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/datasets']; import test_split as t\n"
        "c = t.category_of([1] * 30, 3, {'a': [2, 1, 3], 'b': [1] * 5, 'c': [4]})\n"
        "print([(r.sample.image, r.split, r.draw, r.held_out) for r in t.split_of(c, 7, 4).rows])"
    )
    root = Path(__file__).resolve().parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PYTHONHASHSEED": value},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for value in ("0", "1", "77")
    }
    assert len(found) == 1


def test_seeds_draw_other_images():
    category = category_of([1] * 4, 2, {"a": [1] * 20, "b": [1] * 20})
    draws = {tuple(split_of(category, seed, 4).drawn(4)) for seed in range(8)}
    assert len(draws) == 8


@pytest.mark.parametrize("reserve", [3, 4])
def test_a_reserve_that_leaves_nothing_to_test_or_cannot_be_drawn_is_refused(reserve):
    too_few = f"has 6 defect photos of 3 parts, too few for a reserve of {reserve}"
    with pytest.raises(DataError, match=f"{too_few}.*; pass --protocol crossfit --folds 3 "):
        split_of(category_of([1, 1], 1, {"a": [2, 1], "b": [3]}), 0, reserve)


@pytest.mark.parametrize("kind", ["file", "content", "group"])
def test_a_leak_of_any_kind_is_named(kind):
    split = split_of(category_of([1, 1, 1], 2, {"a": [1] * 4}), 0, 1)
    rows = list(split.rows)
    train, test = split.where("train")[0], split.where("test")[0]
    if kind == "content":
        rows[test] = replace(rows[test], sha256=rows[train].sha256)
    else:
        change = (
            {"image": rows[train].sample.image}
            if kind == "file"
            else {"group": rows[train].sample.group}
        )
        rows[test] = replace(rows[test], sample=replace(rows[test].sample, **change))
    with pytest.raises(DataError, match=f"the same {kind}"):
        check_leaks(replace(split, rows=tuple(rows)))
    check_leaks(split)


def test_the_test_set_is_the_same_for_every_shot_count_and_leaves_only_with_the_reserve():
    """`shots` takes a prefix of the reserve, so it is no argument of the split; a larger reserve
    takes more out and puts nothing back.
    """
    category = category_of([1] * 4, 2, {"a": [2] * 9, "b": [1] * 9})
    for seed in range(5):
        small, large = split_of(category, seed, 4), split_of(category, seed, 8)
        assert small == split_of(category, seed, 4)
        assert set(large.where("test")) < set(small.where("test"))


def test_one_category_and_its_name_decide_the_draw_whatever_else_is_swept():
    category = category_of([1] * 4, 2, {"a": [1] * 20})
    here = split_of(category, 0, 5).drawn(5)
    assert here == split_of(replace(category, folder=Path("elsewhere")), 0, 5).drawn(5)
    assert here != split_of(replace(category, name="other"), 0, 5).drawn(5)
    assert here != make_split(
        category, hashes(category), Holdout(5), dataset="other", seed=0
    ).drawn(5)


def test_normal_test_images_leave_with_the_group_of_a_drawn_one():
    category = category_of([1, 1], 3, {"a": [1, 1]})
    groups = {"test/good/0.png": "a0", "test/good/1.png": "a1"}
    samples = tuple(
        replace(sample, group=groups.get(sample.image, sample.group)) for sample in category.samples
    )
    split = split_of(replace(category, samples=samples), 0, 1)
    (drawn,) = split.drawn(1)
    gone = {row.sample.image for row in split.rows if row.split == "reserved"}
    assert gone == {one.image for one in samples if one.group == samples[drawn].group}
    assert len(gone) == 2
    one_group = tuple(
        replace(sample, group="all" if sample.image.startswith("test") else sample.group)
        for sample in category.samples
    )
    with pytest.raises(DataError, match=r"2 defect photos of 1 part, too few.*; photograph more"):
        split_of(replace(category, samples=one_group), 0, 1)
    normal_gone = tuple(
        replace(
            sample,
            group="a0" if sample.image in ("test/a/0-0.png", "test/good/0.png") else sample.group,
        )
        for sample in samples
    )
    kept = tuple(
        sample
        for sample in normal_gone
        if sample.image not in ("test/good/1.png", "test/good/2.png")
    )
    seed = next(seed for seed in range(20) if split_of(category, seed, 1).drawn(1) == [0])
    with pytest.raises(DataError, match="no normal test image"):
        split_of(replace(category, samples=kept), seed, 1)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("train", "no normal training image"),
        ("test/good", "no normal test image"),
        ("test/a", "has 0 defect photos"),
    ],
)
def test_a_category_that_lost_its_unreadable_images_is_refused_where_nothing_is_left(
    left_out, message
):
    category = category_of([1, 1], 1, {"a": [1, 1, 1]})
    samples = tuple(sample for sample in category.samples if not sample.image.startswith(left_out))
    with pytest.raises(DataError, match=message):
        split_of(replace(category, samples=samples), 0, 1)


def test_two_pictures_of_one_file_in_reserve_and_test_set_are_a_leak():
    category = category_of([1, 1], 2, {"a": [1] * 6})
    same = {
        sample.image: "one content" if sample.anomalous else sample.image
        for sample in category.samples
    }
    with pytest.raises(
        DataError,
        match=(
            r"leak in category 'part', seed 0: test/a/\d-0.png \(reserved\) and test/a/\d-0.png"
            r" \(test\)"
        ),
    ):
        make_split(category, same, Holdout(1), dataset="d", seed=0)


def test_draws_on_the_magnetic_tiles_keep_exposures_of_one_tile_together(magnetic_tiles):
    (category,) = read_dataset(magnetic_tiles).categories
    for seed in range(10):
        split = split_of(category, seed, 10)
        samples = [row.sample for row in split.rows]
        drawn = [samples[row] for row in split.drawn(10)]
        assert Counter(sample.defect_type for sample in drawn) == dict.fromkeys(
            ("blowhole", "break", "crack", "fray", "uneven"), 2
        )
        assert len({sample.group for sample in drawn}) == 10
        assert len(split.where("reserved")) > 10
        held = sum(row.held_out for row in split.rows)
        assert (
            78
            <= held
            <= 78 + max(Counter(sample.group for sample in samples if sample.training).values())
        )
