"""Two sides against each other: the figures by scipy and by hand, what is not comparable by name,
and the command as a user meets it.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from recorded import record
from scipy import stats
from support import apc_bench

from apc_bench.compare.comparison import compare
from apc_bench.compare.format import as_markdown, as_object, as_text
from apc_bench.compare.record import Record, Side
from apc_bench.compare.sources import read_side
from apc_bench.errors import UsageError

METHOD = ("patchcore", 0)


def side(values, name="A", kind="run", dataset="d", **more):
    """`values`: (method, shots) -> category -> seed -> image AUROC."""
    rows = [
        Record(*system, category, seed, "image_auroc", value, "test" if kind == "run" else "full")
        for system, table in values.items()
        for category, seeds in table.items()
        for seed, value in seeds.items()
    ]
    categories = tuple(dict.fromkeys(row.category for row in rows if row.category)) or None
    return Side(name, kind, dataset, tuple(rows), **{"categories": categories, **more})


def only(found, category):
    (delta,) = (delta for delta in found.deltas if delta.category == category)
    return delta


def test_seeds_are_paired_and_averaged_before_categories_by_scipy():
    generator = np.random.default_rng(3)
    ours, theirs = generator.uniform(0.7, 1, (2, 8, 3))
    tables = [
        {METHOD: {f"c{row}": dict(enumerate(one[row])) for row in range(8)}}
        for one in (ours, theirs)
    ]
    tables[0][METHOD]["c0"][7] = 0.1  # a seed of one side alone is left out
    found = compare(side(tables[0]), side(tables[1], "B"))
    inside = stats.ttest_1samp(ours[0] - theirs[0], 0).confidence_interval()
    first = only(found, "c0")
    assert (
        (first.low, first.high) == pytest.approx((inside.low, inside.high))
        and first.basis == "paired seeds"
        and first.over == 3
    )
    gains = ours.mean(1) - theirs.mean(1)
    across = stats.ttest_1samp(gains, 0).confidence_interval()
    whole = only(found, None)
    assert whole.difference == pytest.approx(gains.mean()) and (
        whole.low,
        whole.high,
    ) == pytest.approx((across.low, across.high))
    assert (
        whole.p == pytest.approx(stats.wilcoxon(gains).pvalue) and whole.wins == (gains > 0).sum()
    )
    assert "only in A: patchcore, seed 7" in found.only


def test_unpaired_seeds_get_welchs_interval_and_a_printed_figure_the_other_sides():
    ours, theirs = {0: 0.9, 1: 0.93, 2: 0.88}, {5: 0.8, 6: 0.86}
    expected = stats.ttest_ind(
        list(ours.values()), list(theirs.values()), equal_var=False
    ).confidence_interval()
    delta = only(compare(side({METHOD: {"c": ours}}), side({METHOD: {"c": theirs}}, "B")), "c")
    assert (delta.low, delta.high) == pytest.approx(
        (expected.low, expected.high)
    ) and delta.basis == "seeds of each side"
    table = side({("x", 0): {"c": {None: 0.85}}}, "B", "table", None)
    own = stats.ttest_1samp(list(ours.values()), 0.85).confidence_interval()
    for found, sign in (
        (compare(side({METHOD: {"c": ours}}), table), 1),
        (compare(table, side({METHOD: {"c": ours}})), -1),
    ):
        delta = only(found, "c")
        centre = np.mean(list(ours.values())) - 0.85
        reach = (own.high - own.low) / 2
        assert delta.difference == pytest.approx(sign * centre) and "not known" in delta.basis
        assert (delta.low, delta.high) == pytest.approx(
            (sign * centre - reach, sign * centre + reach)
        )


def test_p_values_are_corrected_over_the_systems_of_a_metric():
    generator = np.random.default_rng(5)
    methods = [("a", 0), ("b", 0), ("c", 0)]
    tables = [
        {
            system: {f"k{row}": {0: value} for row, value in enumerate(generator.uniform(0, 1, 9))}
            for system in methods
        }
        for _ in range(2)
    ]
    found = compare(side(tables[0]), side(tables[1], "B"))
    raw = [
        stats.wilcoxon(
            [tables[0][one][f"k{row}"][0] - tables[1][one][f"k{row}"][0] for row in range(9)]
        ).pvalue
        for one in methods
    ]
    smallest = int(np.argmin(raw))
    by_system = {delta.a: delta.p for delta in found.deltas if delta.category is None}
    assert by_system[methods[smallest]] == pytest.approx(min(1, 3 * raw[smallest]))


def test_a_printed_mean_is_compared_over_all_its_categories_or_not_at_all():
    printed = side(
        {("PatchCore", 0): {None: {None: 0.9}}}, "paper", "published", "d", categories=("c1", "c2")
    )
    whole = side({METHOD: {"c1": {0: 0.8, 1: 0.9}, "c2": {0: 0.9, 1: 0.94}}})
    delta = only(compare(whole, printed), None)
    assert (
        delta.value_a == pytest.approx(0.885)
        and delta.difference == pytest.approx(-0.015)
        and delta.reason == "means alone: no test"
    )
    part = side({METHOD: {"c1": {0: 0.8}}})
    found = compare(part, printed)
    assert found.exit_code == 3 and found.reasons == (
        "paper prints means over 2 categories alone, all of which the other side would need",
    )


def test_what_cannot_be_compared_says_why():
    one = side({METHOD: {"c": {0: 0.8}}})
    assert compare(one, side({METHOD: {"c": {0: 0.8}}}, "B", dataset="e")).reasons == (
        "other datasets: d and e",
    )
    assert compare(one, side({METHOD: {"k": {0: 0.8}}}, "B")).reasons == (
        "no category of both: A has c, B has k",
    )
    assert (
        compare(one, side({("apc", 5): {"c": {0: 0.8}}}, "B"))
        .reasons[0]
        .startswith("no system of both: A has patchcore, B has apc, 5 shots")
    )
    unknown_shots = side({("BGAD", None): {"c": {None: 0.8}}}, "B", "published")
    assert compare(one, unknown_shots).exit_code == 3
    printed = compare(one, unknown_shots, pairs=[("patchcore", "BGAD")])
    assert printed.exit_code == 0
    assert "nothing that run.json records differs" not in as_text(printed), "B has no run.json"
    with pytest.raises(UsageError, match=r"B: no system is called 'BGA' \(it has: BGAD\)"):
        compare(one, unknown_shots, pairs=[("patchcore", "BGA")])
    with pytest.raises(UsageError, match="unknown metric 'auroc'"):
        compare(one, one, metrics=["auroc"])


def test_a_run_beside_another_tools_table_uses_the_full_test_set_and_marks_definitions(
    small_run, tmp_path
):
    run = read_side(str(small_run))
    category = run.categories[0]
    path = tmp_path / "results.csv"
    path.write_text(f"Name,I-AUROC,P-F1,mAD\n{category},90.0,40.0,1\nMean,90.0,40.0,1\n")
    found = compare(run, read_side(str(path)))
    assert {delta.a for delta in found.deltas} == {METHOD}
    full = [
        row.value
        for row in run.records
        if (row.method, row.category, row.metric, row.subset)
        == ("patchcore", category, "image_auroc", "full")
    ]
    delta = next(
        delta
        for delta in found.deltas
        if (delta.category, delta.metric) == (category, "image_auroc")
    )
    assert delta.value_a == pytest.approx(np.mean(full)) and delta.value_b == pytest.approx(0.9)
    text = as_text(found)
    assert "F1_px *" in text and "above 0 after the resize" in text and "AUROC_im *" not in text
    tuned = compare(run, read_side(str(path)), pairs=[("apc@2", "Dinomaly or INP-Former")])
    assert (
        "test set",
        (
            "APC, 2 shots on the test set without the reserve, the other side's figures on the"
            " full one"
        ),
    ) in tuned.why


def test_the_command_tells_what_changed_between_two_runs(small_run, tmp_path):
    def worse(row):
        if row["method"] == "apc" and row["image_auroc"] is not None:
            row["image_auroc"] -= 0.05

    info = json.loads((small_run / "run.json").read_text())
    weights = {name: {**one, "sha256": "0" * 64} for name, one in info["weights"].items()}
    prints = dict.fromkeys(info["fingerprints"], "0" * 16)
    night = record(
        small_run,
        tmp_path / "night",
        worse,
        computing={**info["computing"], "torch": "9.9"},
        weights=weights,
        fingerprints=prints,
    )
    done = apc_bench("compare", night, small_run, "--json")
    found = json.loads(done.stdout)
    means = {
        (one["system"], one["metric"]): one for one in found["deltas"] if one["category"] is None
    }
    assert means["APC, 2 shots", "image_auroc"]["difference"] == pytest.approx(-0.05)
    assert means["PatchCore", "image_auroc"]["difference"] == 0
    kinds = {one["kind"]: one["what"] for one in found["why"]}
    assert (
        kinds["versions"].startswith("torch 9.9 against") and "data" in kinds and "weights" in kinds
    )
    text = apc_bench("compare", night, small_run).stdout
    assert (
        "−5.00" in text
        and "Why they may differ" in text
        and "Too little for a claim: 2 categories" in text
    )
    markdown = apc_bench(
        "compare", night, small_run, "--markdown", "--metric", "image_auroc"
    ).stdout
    assert markdown.count("| APC, 2 shots | AUROC_im |") == 3 and "F1_im" not in markdown


def test_runs_of_other_data_and_protocols_say_so_and_pair_no_seeds(small_run, tmp_path):
    info = json.loads((small_run / "run.json").read_text())
    settings = {**info["settings"], "protocol": "crossfit", "folds": 3}
    folded = record(small_run, tmp_path / "folded", settings=settings)
    found = compare(read_side(str(folded)), read_side(str(small_run)))
    assert (
        "test set",
        "A under protocol crossfit of 3 folds, B under holdout: other images are tested, and seeds"
        " are no pairs",
    ) in found.why
    assert {delta.basis for delta in found.deltas if delta.category} == {"seeds of each side"}
    prints = dict.fromkeys(info["fingerprints"], "0" * 16)
    other = record(small_run, tmp_path / "other", settings=settings, fingerprints=prints)
    apart = compare(replace(read_side(str(other)), dataset="tiles"), read_side(str(small_run)))
    assert apart.exit_code == 3
    assert "Seeds: folds, of a run that was cross-fitted" in as_text(found)
    told = as_text(apart)
    assert "other datasets: tiles and synthetic" in told
    assert "settings: protocol crossfit against holdout" in told
    assert "data: other files or contents in" in told
    assert "nothing that run.json records differs" not in told


def test_settings_of_a_method_that_a_side_did_not_run_are_no_reason(small_run, tmp_path):
    info = json.loads((small_run / "run.json").read_text())
    methods = info["settings"]["methods"]
    longer = {**methods["apc"], "settings": {**methods["apc"]["settings"], "steps": 7}}
    for only, said in ((["patchcore"], False), (None, True)):
        changed = {**info["settings"], "methods": {**methods, "apc": longer}, "only": only}
        other = record(small_run, tmp_path / f"other-{said}", settings=changed)
        found = compare(read_side(str(other)), read_side(str(small_run)))
        assert any("apc.settings.steps" in why for _, why in found.why) == said


def test_exit_codes(small_run):
    apc_bench("compare", small_run, "mvtec_ad", code=3)
    assert "no folder or file nothing" in apc_bench("compare", small_run, "nothing", code=2).output
    assert (
        "must be two systems with '=' between them"
        in apc_bench("compare", small_run, small_run, "--pair", "x", code=2).output
    )


def test_forms_agree(small_run):
    found = compare(read_side(str(small_run)), read_side(str(small_run)))
    assert all(delta.difference == 0 for delta in found.deltas)
    assert (
        len(as_object(found)["deltas"]) == len(found.deltas)
        and "nothing that run.json records differs" in as_markdown(found)
    ) or found.why
