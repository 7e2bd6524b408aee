from collections.abc import Callable
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.report.selection import TYPES_MAX, Judged, hardest, one_sided, pick

Make = Callable[..., Any]


def scores(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "image": image,
                "defect_type": kind,
                "label": kind != "good",
                "score": score,
                "split": "test",
            }
            for image, kind, score in rows
        ]
    )


def test_few_images_and_no_threshold_are_shown_as_they_are() -> None:
    table = pl.DataFrame(
        {
            "image": ["a", "b"],
            "defect_type": ["x", "good"],
            "label": [True, False],
            "score": [1.0, 2.0],
            "split": "test",
        }
    )
    assert [pick.why for pick in hardest(table, threshold=None)] == [
        "lowest anomalous score",
        "highest normal score",
    ]


def test_the_rows_are_the_extremes_and_the_medians() -> None:
    anomalous = [
        ("a", "crack", 3.0),
        ("b", "crack", 1.0),
        ("c", "crack", 2.0),
        ("d", "hole", 0.5),
        ("e", "hole", 9.0),
    ]
    table = scores([*anomalous, ("f", "good", 0.1), ("g", "good", 0.2), ("h", "good", 2.5)])
    assert [(choice.why, choice.image) for choice in pick(table, threshold=2.2)] == [
        ("hardest missed", "d"),
        ("worst false alarm", "h"),
        ("typical of its type", "c"),
        ("typical normal", "g"),
    ]
    assert [choice.why for choice in pick(table, threshold=None)][:2] == [
        "lowest anomalous score",
        "highest normal score",
    ]
    assert [choice.why for choice in pick(table, threshold=0.3)][:2] == [
        "lowest anomalous score",
        "worst false alarm",
    ]


def test_only_test_images_are_shown() -> None:
    table = scores([("a", "crack", 1.0), ("b", "good", 0.0), ("c", "crack", 0.0)]).with_columns(
        split=pl.Series(["test", "test", "drawn"])
    )
    assert {choice.image for choice in pick(table, threshold=None)} == {"a", "b"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["good", "a", "b", "c", "d", "e", "f"]), st.integers(0, 3)),
        min_size=1,
        max_size=30,
    ),
    st.randoms(),
)
def test_the_choice_depends_on_nothing_but_scores_and_names(
    kinds: list[tuple[str, int]], random: Any
) -> None:
    rows = [(f"{index:02d}", kind, float(score)) for index, (kind, score) in enumerate(kinds)]
    chosen = pick(scores(rows), threshold=1.0)
    random.shuffle(rows)
    assert pick(scores(rows), threshold=1.0) == chosen
    assert len({choice.image for choice in chosen}) == len(chosen) <= TYPES_MAX + 3


def judged(title: str, defects: dict[str, float], threshold: float | None) -> Judged:
    rows = [(image, "crack", score) for image, score in defects.items()]
    return Judged(title, scores([*rows, ("n", "good", 1.0), ("m", "good", 2.0)]), threshold)


def test_images_that_one_of_two_systems_alone_finds_are_counted_and_shown() -> None:
    apc = judged("APC", {"a": 9.0, "b": 9.0, "c": 1.5, "d": 9.0, "e": 0.0}, 3.0)
    plain = judged("PatchCore", {"a": 2.5, "b": 0.5, "c": 9.0, "d": 9.0, "e": 1.5}, 3.0)
    found = one_sided(apc, plain)
    assert (found.why, found.number) == ("found only by APC", 2)
    assert [choice.image for choice in found.picks] == ["b", "a"]  # the farthest apart first
    other = one_sided(plain, apc)
    assert (other.why, other.number) == ("found only by PatchCore", 1)
    assert [choice.image for choice in other.picks] == ["c"]
    assert one_sided(apc, plain, count=1).number == 2


def test_without_a_threshold_systems_disagree_by_rank() -> None:
    apc = judged("APC", {"a": 9.0, "b": 0.5, "c": 9.0}, None)
    plain = judged("PatchCore", {"a": 1.5, "b": 1.5, "c": 9.0}, 3.0)
    assert [choice.image for choice in one_sided(apc, plain).picks] == ["a"]
    assert one_sided(apc, plain).why == "ranked higher by APC"
    assert [choice.image for choice in one_sided(plain, apc).picks] == ["b"]
