"""What a run answers, in words."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import permutation_test
from table_support import rows_of

from apc_bench.results.aggregate import System
from apc_bench.results.answer import Answer, answers
from apc_bench.results.detections import Detections, Photo
from apc_bench.results.reading import read_results
from apc_bench.tables import answer_in_words as words
from apc_bench.tables.answer import answer_table, types_table
from apc_bench.tables.number_format import signed

Make = Callable[..., Any]

SYSTEMS = [
    System("patchcore", 0, "PatchCore", "patchcore", "builtin", (0,)),
    System("apc", 8, "APC", "apc", "builtin", (0,)),
]


def answer_of(
    before: list[float], after: list[float], kinds: list[str], undefined: str | None = None
) -> Answer:
    def finds(system: System, found: list[float]) -> Detections:
        photos = [
            Photo(f"bad/{kind}/{n}.png", f"g{n}", kind, share, share)
            for n, (share, kind) in enumerate(zip(found, kinds, strict=True))
        ]
        return Detections(system, photos, 0.04, undefined, normal=8)

    return Answer("bracket", 8, [finds(SYSTEMS[0], before), finds(SYSTEMS[1], after)], 0.05)


def sentences(answer: Answer, **settings: Any) -> list[str]:
    """Of a cross-fitted run."""
    return words.sentences(SimpleNamespace(folded=True, settings=settings), answer)  # type: ignore[arg-type]


def test_what_is_beyond_chance_is_said_and_what_to_photograph_next():
    kinds = ["dent"] * 5 + ["scratch"] * 5
    lines = sentences(answer_of([0] * 10, [1] * 7 + [0, 0, 0.5], kinds))
    assert lines[0] == "bracket: do your 10 defect photos help? APC: yes."
    assert lines[1].startswith(
        "With your 10 defect photos (8 at a time to learn from) APC finds 75 of 100 defects"
    )
    assert (
        "at 5 % false alarms, PatchCore 0 (95 % interval 0 to 28); the difference, +75 ("
        in lines[1]
    )
    assert lines[1].endswith(
        "is beyond chance (p = 0.0078); it helps on dent (+100), scratch (+50), on none of them beyond"
        " chance by itself."
    )
    assert lines[2] == (
        "False alarms on the normal photos that were set apart: PatchCore 4 %, APC 4 %."
        " Image AUROC, without a threshold: PatchCore 0.0, APC 75.0."
    )
    assert lines[3] == "Photograph next, by what APC misses most: scratch (50 % of 5 missed)."
    assert "bad/scratch/7.png, bad/scratch/8.png" in lines[4]


def test_too_few_defects_a_missing_threshold_and_nothing_missed_are_said():
    assert (
        "4 defects cannot show any difference beyond chance; 6 can"
        in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[3]
    )
    assert "misses none of them" in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[-1]
    few = "10 calibration images cannot promise 5 % false alarms"
    verdict, first, ranks = sentences(answer_of([0] * 9, [1] * 9, ["dent"] * 9, undefined=few))
    assert verdict.endswith("APC: yes.")
    assert (
        f"there is no threshold (PatchCore and APC: {few}), so this is how well they rank." in first
    )
    assert ranks.startswith(
        "APC ranks a defect above a normal photo in 100.0 of 100 pairs (AUROC; "
    )
    assert "the difference, +100.0 (95 % interval " in ranks
    assert ranks.endswith("is beyond chance (p = 0.0039).")


def test_a_hold_out_run_is_answered_in_one_sentence_by_its_own_scores(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(1, 10), seeds=(0, 1), tests=20)
    results = read_results(run)
    (answer,) = answers(results, run)
    assert [found.system.label for found in answer.detections] == ["PatchCore", "APC, 10 shots"]
    shares = {}
    for method, key in (("PatchCore", "patchcore-weave-0"), ("APC", "apc-weave-10")):
        found: dict[str, list[bool]] = {}
        for seed in (0, 1):
            for row in run.score_rows[f"{key}-{seed}"]:
                if row["split"] == "test" and row["label"]:
                    found.setdefault(row["image"], []).append(row["score"] > 2.0)
        shares[method] = {image: np.mean(tries) for image, tries in found.items()}
    gains = {image: shares["APC"][image] - share for image, share in shares["PatchCore"].items()}
    p = permutation_test(
        (np.array(list(gains.values())),),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        n_resamples=9999,
        vectorized=True,
    ).pvalue
    (lines,) = words.answer_in_words(results, [answer])
    ours, theirs = (100 * np.mean(list(shares[name].values())) for name in ("APC", "PatchCore"))
    assert lines[0].startswith("weave: do 10 defect photos help? APC: ")
    assert lines[1].startswith(
        f"With 10 defect photos to learn from APC finds {ours:.0f} of 100 defects (95 %"
    )
    assert f"at 5 % false alarms, PatchCore {theirs:.0f} (95 % interval" in lines[1]
    assert ("is beyond chance" in lines[1]) == (p < 0.05)
    assert answer.change(answer.others[0]).p == pytest.approx(p, abs=0.02)
    for kind in ("crack", "stain"):
        gain = 100 * np.mean([value for image, value in gains.items() if f"/{kind}/" in image])
        of_type = [
            100 * np.mean([found for image, found in shares[name].items() if f"/{kind}/" in image])
            for name in ("APC", "PatchCore")
        ]
        printed = round(of_type[0]) - round(of_type[1])  # so that printed numbers add up
        assert f"{kind} ({signed(printed, 0)})" in lines[1]
        row = next(
            row
            for row in rows_of(types_table(results, [answer]))  # type: ignore[arg-type]
            if row["defect_type"] == kind
        )
        assert row["APC, 10 shots_difference_points"] == pytest.approx(gain)


def test_several_categories_are_answered_together_and_those_beyond_chance_named(
    make_run: Make,
) -> None:
    run = make_run(shots=(10,), seeds=(0,), tests=20)
    for key, rows in run.score_rows.items():
        for row in rows:
            if row["split"] == "test" and row["label"]:
                row["score"] = 3.0 if key.startswith("apc-weave") else 1.0
    results = read_results(run)
    ((verdict, line, types, alarms),) = words.answer_in_words(results, answers(results, run))
    assert verdict.startswith("Do 10 defect photos help? APC: yes in weave (+100); ")
    assert line == (
        "Over 2 categories, with 10 defect photos each to learn from, at 5 % false alarms:"
        " PatchCore finds 0 of 100 defects, APC 50 (+50); 2 categories are too few for a claim about"
        " others (a test needs 6)."
    )
    assert types == "By defect type APC helps most on weave's crack (+100)."
    assert alarms.startswith("False alarms on the normal test images: PatchCore ")


def test_a_run_of_the_baseline_alone_says_what_it_finds(make_run: Make) -> None:
    only = {"patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"}}
    run = make_run(categories=("weave",), seeds=(0,), methods=only)
    results = read_results(run)
    ((line, _),) = words.answer_in_words(results, answers(results, run))
    assert line.startswith("weave: PatchCore finds ")
    assert "difference" not in line


def test_trials_that_are_missing_or_damaged_leave_the_rest_of_the_answer(make_run: Make) -> None:
    run = make_run(shots=(10,), seeds=(0, 1))
    run.drop("apc", "weave", 10, 1)
    del run.score_rows["patchcore-granite-0-0"]
    results = read_results(run)
    (answer,) = answers(results, run)
    assert (answer.category, answer.seeds) == ("weave", [0])


def test_from_six_categories_on_the_difference_is_tested_over_categories(make_run: Make) -> None:
    names = tuple(f"part{index}" for index in range(7))
    methods = {
        "patchcore": {"detector": "patchcore", "backbone": "builtin", "title": "PatchCore"},
        "apc": {"detector": "apc", "backbone": "builtin", "title": "APC"},
        "same": {"detector": "apc", "backbone": "builtin", "title": "Same"},
    }
    run = make_run(categories=names, shots=(10,), seeds=(0,), methods=methods, tests=8)
    for key, rows in run.score_rows.items():
        found = 1 + int(key.split("part")[1][0]) if key.startswith("apc") else 0
        for index, row in enumerate(row for row in rows if row["split"] == "test" and row["label"]):
            row["score"] = 3.0 if index < found else 1.0
    results = read_results(run)
    ((verdict, head, apc, _),) = words.answer_in_words(results, answers(results, run))
    assert "help? APC: yes; " in verdict
    assert " Same: over all it cannot be told; " in verdict or " Same: it cannot be told" in verdict
    # 1 to 7 of 16 defects: 25 of 100 on average; all seven for one side: p = 2 · 2^−7
    assert (
        "PatchCore finds 0 of 100 defects, APC 25 (+25, 95 % interval +13 to +37, p = 0.016:"
        in head
    )
    assert head.endswith("beyond chance), Same 0 (0).")
    assert "too few" not in head
    assert apc.startswith("By defect type APC helps most on ")


def test_without_a_threshold_the_table_has_ranks_and_no_empty_columns(make_run: Make) -> None:
    results = read_results(make_run(categories=("bracket",), shots=(8,), seeds=(0,)))
    answer = answer_of([0] * 9, [1] * 8 + [0], ["dent"] * 9, undefined="too few")
    table = answer_table(results, [answer])
    assert table is not None
    assert [column.title for column in table.for_readers.columns][2:5] == [
        "Difference",
        "95 % interval ",
        "p",
    ]
    assert rows_of(table)[1]["difference_points"] == pytest.approx(100 * 8 / 9)
    assert rows_of(table)[1]["found_percent"] is None
