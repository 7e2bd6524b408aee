"""`apc-bench gate` on recorded nights: verdicts, exit codes, and that nothing is dropped in
silence.
"""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from recorded import Row, noisy, record
from support import apc_bench

from apc_bench.compare.record import Record as Printed
from apc_bench.compare.record import Side
from apc_bench.errors import UsageError
from apc_bench.gate.junit import clean
from apc_bench.gate.published_reference import choose, printed_families
from apc_bench.gate.verdicts import Asked
from apc_bench.results.recorded_runs import read_recorded_run

ONLY = ("--metric", "image_auroc")


@pytest.fixture(scope="module")
def run(small_run) -> Path:
    return small_run


@pytest.fixture
def before(run, tmp_path) -> Path:
    return record(run, tmp_path / "before", noisy(1), day=1)


def then(first: Callable[[Row], object], *more: Callable[[Row], object]) -> Callable[[Row], None]:
    def change(row: Row) -> None:
        for one in (first, *more):
            one(row)

    return change


def add(amount: float, metric: str = "image_auroc", **where: object) -> Callable[[Row], None]:
    """Adds to a metric in the rows that hold these values."""

    def change(row: Row) -> None:
        if all(row[name] == value for name, value in where.items()):
            row[metric] += amount

    return change


def judged(*arguments: object, code: int = 0) -> dict:
    return json.loads(apc_bench("gate", *arguments, "--json", code=code).stdout)


def verdicts(found: dict, kind: str) -> list[tuple[str, str, str | None]]:
    return [
        (unit["system"], unit["metric"], unit["category"])
        for unit in found["units"]
        if unit["verdict"] == kind
    ]


def test_a_repetition_is_no_regression_and_says_that_it_is_one(run, tmp_path):
    again = record(run, tmp_path / "again", day=2)
    told = apc_bench("gate", again, "--against", run).output
    assert told.startswith("apc-bench gate: no regression (exit code 0)")
    assert "to the last bit" in told


def test_noise_is_no_regression_and_the_text_says_which_drop_would_have_been_found(
    run, before, tmp_path
):
    tonight = record(run, tmp_path / "tonight", noisy(2), day=2)
    told = apc_bench("gate", tonight, "--against", before, *ONLY).output
    unit = judged(tonight, "--against", before, *ONLY)["units"][0]
    assert "smallest drop found in 95 %" in told
    assert f"{100 * unit['detectable']:.2f}" in told
    assert 0 < unit["noise"] < unit["detectable"]


def test_a_drop_in_one_category_is_found_and_named_with_its_numbers(run, before, tmp_path):
    tonight = record(
        run, tmp_path / "tonight", then(noisy(2), add(-0.3, category="weave", method="apc")), day=2
    )
    found = judged(tonight, "--against", before, *ONLY, code=1)
    assert ("APC, 2 shots", "image_auroc", "weave") in verdicts(found, "regression")
    assert all(
        system == "APC, 2 shots" and category != "washer"
        for system, _, category in verdicts(found, "regression")
    )
    told = apc_bench("gate", tonight, "--against", before, *ONLY, code=1).output
    unit = next(
        unit
        for unit in found["units"]
        if unit["category"] == "weave" and unit["verdict"] == "regression"
    )
    assert told.startswith("apc-bench gate: REGRESSION")
    assert (
        f"REGRESSION APC, 2 shots · AUROC_im · weave: {100 * unit['before']:.2f} →"
        f" {100 * unit['after']:.2f}" in told
    )
    assert unit["change"] == pytest.approx(-0.3, abs=0.01)


def test_a_drop_that_is_tolerated_is_none(run, before, tmp_path):
    tonight = record(run, tmp_path / "tonight", then(noisy(2), add(-0.3)), day=2)
    assert (
        verdicts(judged(tonight, "--against", before, *ONLY, "--max-drop", "35"), "regression")
        == []
    )
    assert verdicts(
        judged(tonight, "--against", before, *ONLY, "--max-drop", "10,35", code=1), "regression"
    ) == [
        ("PatchCore", "image_auroc", None),
        ("APC, 2 shots", "image_auroc", None),
    ]


def test_a_rise_is_told_and_is_no_regression(run, before, tmp_path):
    tonight = record(run, tmp_path / "tonight", then(noisy(2), add(0.15, method="apc")), day=2)
    told = apc_bench("gate", tonight, "--against", before, *ONLY).output
    assert "unexplained rise" in told.splitlines()[0]
    assert "RISE APC, 2 shots · AUROC_im · weave" in told and "usually a leak" in told


def test_too_few_seeds_for_the_tolerance_asked_is_exit_code_4_with_the_number_that_would_do(
    run, before, tmp_path
):
    tonight = record(run, tmp_path / "tonight", noisy(2), day=2)
    told = apc_bench(
        "gate", tonight, "--against", before, *ONLY, "--max-drop", "0.4", code=4
    ).output
    assert "TOO FEW SEEDS" in told and "seeds would do" in told
    assert judged(tonight, "--against", before, *ONLY, "--max-drop", "20")["exit_code"] == 0


def test_one_seed_shows_no_noise_and_decides_nothing(tmp_path):
    options = (
        "--job",
        "tiny",
        "--executor",
        "serial",
        "--methods",
        "patchcore",
        "--categories",
        "weave",
        "--seeds",
        "0",
    )
    apc_bench("sweep", "--no-page", *options, "--run", tmp_path / "r", "--cache", tmp_path / "c")
    before, tonight = (
        record(tmp_path / "r", tmp_path / str(day), noisy(day), day=day) for day in (1, 2)
    )
    assert (
        "one seed shows no noise"
        in apc_bench("gate", tonight, "--against", before, *ONLY, code=4).output
    )


def test_a_missing_trial_is_named_and_cannot_be_judged(run, before, tmp_path):
    tonight = record(run, tmp_path / "tonight", noisy(2), day=2)
    next(tonight.glob("metrics/*/weave/apc/*/seed-1/*.parquet")).unlink()
    told = apc_bench("gate", tonight, "--against", before, *ONLY, code=3).output
    assert "UNJUDGED APC, 2 shots · weave · seed 1: tonight not run" in told
    assert "PatchCore" in told, "what can be judged is"


def test_a_mean_over_fewer_categories_than_planned_says_so(run, before, tmp_path):
    tonight = record(run, tmp_path / "tonight", noisy(2), day=2)
    for path in tonight.glob("metrics/*/weave/apc/**/*.parquet"):
        path.unlink()
    told = apc_bench("gate", tonight, "--against", before, *ONLY, code=3).output
    assert [
        ("(1/2)" in line)
        for line in told.splitlines()
        if line.startswith(("APC, 2 shots  AUROC_im", "PatchCore     AUROC_im"))
    ] == [
        False,
        True,
    ]


def test_a_regression_beside_missing_trials_is_a_regression_and_both_are_told(
    run, before, tmp_path
):
    tonight = record(
        run, tmp_path / "tonight", then(noisy(2), add(-0.3, method="patchcore")), day=2
    )
    next(tonight.glob("metrics/*/weave/apc/*/seed-1/*.parquet")).unlink()
    told = apc_bench("gate", tonight, "--against", before, *ONLY, code=1).output
    assert "not judged" in told.splitlines()[0] and "UNJUDGED" in told


def test_a_damaged_file_and_an_undefined_metric_are_named(run, before, tmp_path):
    def undefined(row: Row) -> None:
        if row["seed"] == 2 and row["category"] == "washer" and row["method"] == "apc":
            row["image_auroc"] = None

    tonight = record(run, tmp_path / "tonight", then(noisy(2), undefined), day=2)
    path = next(tonight.glob("metrics/*/weave/patchcore/*/seed-0/*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    told = apc_bench("gate", tonight, "--against", before, *ONLY, code=3).output
    assert str(path) in told
    assert "image_auroc is undefined tonight" in told


def test_other_settings_and_other_images_do_not_compare(run, before, tmp_path):
    info = json.loads((before / "run.json").read_text())
    prints = {**info["fingerprints"], "weave": "0" * 16}
    tonight = record(run, tmp_path / "tonight", noisy(2), day=2, fingerprints=prints)
    assert (
        "other images than in the reference"
        in apc_bench("gate", tonight, "--against", before, *ONLY, code=3).output
    )
    options = (
        "--job",
        "tiny",
        "--executor",
        "serial",
        "--shots",
        "2",
        "--seeds",
        "0,1,2",
        "--reserve",
        "3",
        "--methods",
        "patchcore",
    )
    apc_bench(
        "sweep", "--no-page", *options, "--run", tmp_path / "other", "--cache", tmp_path / "c"
    )
    told = apc_bench("gate", tmp_path / "other", "--against", before, *ONLY, code=3).output
    assert "other settings than in the reference (reserve 3, was 4)" in told
    assert "APC, 2 shots: not in tonight's run" in told


def test_of_a_folder_the_newest_whole_night_before_this_one_is_the_reference(run, tmp_path):
    nights = tmp_path / "nights"
    for day in range(1, 9):
        record(run, nights / f"n{day}", noisy(day), day=day)
    next((nights / "n7").glob("metrics/*/*/apc/**/seed-1/*.parquet")).unlink()
    (nights / "n5" / "run.json").write_text("{")
    (nights / "notes").mkdir()
    found = judged(nights / "n8", "--against", nights, *ONLY)
    assert Path(found["reference"]["run"]).name == "n6"
    assert found["noise"].startswith("6 recorded nights with other numbers")
    assert {line.split(":")[0] for line in found["passed_over"]} == {"n5", "n7", "notes"}
    assert Path(judged(nights / "n4", "--against", nights, *ONLY)["reference"]["run"]).name == "n3"


def test_recorded_nights_find_smaller_drops_than_a_run_alone(run, tmp_path):
    nights = tmp_path / "nights"
    for day in range(1, 9):
        record(run, nights / f"n{day}", noisy(day), day=day)
    tonight = record(run, tmp_path / "tonight", noisy(9), day=9)
    alone, many = (
        judged(tonight, "--against", one, *ONLY)["units"] for one in (nights / "n8", nights)
    )
    assert sum(unit["detectable"] for unit in many) < sum(unit["detectable"] for unit in alone)


def test_a_first_night_has_nothing_to_be_judged_against_and_a_folder_that_is_not_there_is_a_slip(
    run, tmp_path
):
    (tmp_path / "nights").mkdir()
    told = apc_bench("gate", run, "--against", tmp_path / "nights", code=3).output
    assert "no recorded run to judge against yet" in told
    assert (
        "no folder or file"
        in apc_bench("gate", run, "--against", tmp_path / "night", code=2).output
    )


def test_a_slower_night_is_a_regression_only_where_time_is_asked_for_on_the_same_machine(
    run, tmp_path
):
    def times(factor: float) -> Callable[[Row], None]:
        def change(row: Row) -> None:
            row["seconds_total"] = factor * (1 + 0.01 * row["seed"])

        return change

    before = record(run, tmp_path / "before", times(10), day=1)
    tonight = record(run, tmp_path / "tonight", times(20), day=2)
    assert judged(tonight, "--against", before)["exit_code"] == 0
    told = apc_bench("gate", tonight, "--against", before, "--slower", "1.3", code=1).output
    assert "REGRESSION PatchCore · time of a trial: 10.1 s → 20.2 s (2.00 ×" in told
    info = json.loads((before / "run.json").read_text())
    other = record(
        run,
        tmp_path / "other",
        times(20),
        day=2,
        environment={**info["environment"], "processor": "Other 9000"},
    )
    assert (
        "another machine"
        in apc_bench("gate", other, "--against", before, "--slower", "1.3", code=3).output
    )


def test_one_busy_night_does_not_blind_the_gate_and_what_it_cannot_tell_of_time_is_told(
    run, tmp_path
):
    def times(night: int, factor: float) -> Callable[[Row], None]:
        def change(row: Row) -> None:
            row["seconds_total"] = factor * (10 + 0.1 * ((night * 7) % 5))

        return change

    nights = tmp_path / "nights"
    for night in range(1, 13):
        record(run, nights / f"n{night:02}", times(night, 3.0 if night == 6 else 1.0), day=night)
    tonight = record(run, tmp_path / "tonight", times(13, 1.5), day=13)
    told = apc_bench("gate", tonight, "--against", nights, "--slower", "1.2", code=1).output
    assert "REGRESSION PatchCore · time of a trial" in told
    few = record(
        run,
        tmp_path / "few",
        lambda row: row.update(
            seconds_total=10.0 + 5 * (row["seed"] + (row["category"] == "weave"))
        ),
        day=14,
    )
    told = apc_bench("gate", few, "--against", nights / "n12", "--slower", "1.01", code=4).output
    assert (
        told.startswith("apc-bench gate: too few nights for the factor asked")
        and "TOO FEW NIGHTS PatchCore · time of a trial" in told
    )


def test_junit_counts_and_places_every_verdict_and_takes_any_name(run, tmp_path):
    before = record(run, tmp_path / "before", noisy(1), day=1)
    tonight = record(
        run, tmp_path / "tonight", then(noisy(2), add(-0.3, category="weave", method="apc")), day=2
    )
    next(tonight.glob("metrics/*/washer/patchcore/*/seed-1/*.parquet")).unlink()
    apc_bench("gate", tonight, "--against", before, *ONLY, "--junit", tmp_path / "gate.xml", code=1)
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert root.tag == "testsuites" and {child.tag for child in root} == {"testsuite"}
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == sum(len(case.findall("failure")) for case in cases)
        assert int(suite.get("errors")) == sum(len(case.findall("error")) for case in cases)
        assert all(case.get("name") and case.get("classname") for case in cases)
    assert int(root.get("tests")) == sum(int(suite.get("tests")) for suite in root)
    failed = {
        (case.get("classname"), case.get("name"))
        for case in root.iter("testcase")
        if case.find("failure") is not None
    }
    assert ("apc-bench.APC, 2 shots", "image_auroc weave") in failed
    assert any(case.find("error") is not None for case in root.iter("testcase"))


def test_hostile_names_break_neither_xml_nor_terminal():
    name = 'a"<b>&\x00\x1b[31m\ud800\ufffe'
    written = ElementTree.tostring(ElementTree.Element("q", {"v": clean(name)}))
    assert ElementTree.fromstring(written).get("v") == 'a"<b>&??[31m??'


def test_a_metric_or_tolerance_that_does_not_exist_is_one_line(run):
    assert (
        "did you mean 'image_auroc'"
        in apc_bench("gate", run, "--against", run, "--metric", "image_auroc1", code=2).output
    )
    assert (
        "percentage points"
        in apc_bench("gate", run, "--against", run, "--max-drop", "-1", code=2).output
    )


def table_of(folder: Path, values: dict[str, float]) -> Path:
    """A results.csv as patchcore-inspection writes it."""
    folder.mkdir()
    lines = [f"mvtec_{name},{value},0.9,0.9" for name, value in values.items()]
    (folder / "results.csv").write_text(
        "\n".join(["Row Names,instance_auroc,full_pixel_auroc,anomaly_pixel_auroc", *lines])
    )
    return folder / "results.csv"


def full(row: Row) -> None:
    """The full test set's figures as those of the common one, shifted, so that a mix-up would
    show.
    """
    if row["subset"] == "full":
        row["image_auroc"] += 0.1


def test_against_another_tools_table_the_noise_is_the_runs_and_frozen_systems_are_judged_on_the_full_test_set(
    run, tmp_path
):
    tonight = record(run, tmp_path / "tonight", then(noisy(2), full), day=2)
    table = table_of(tmp_path / "table", {"washer": 0.9, "weave": 0.9})
    pair = ("--pair", "patchcore=patchcore-inspection")
    found = judged(tonight, "--against", table, *ONLY, *pair)
    assert verdicts(found, "steady") == [
        ("PatchCore", "image_auroc", name) for name in ("washer", "weave", None)
    ]
    assert [unit["before"] for unit in found["units"]] == pytest.approx([0.9] * 3)
    assert [unit["change"] for unit in found["units"]] == pytest.approx([0] * 3, abs=0.01)
    better = table_of(tmp_path / "better", {"washer": 0.9, "weave": 0.99})
    assert ("PatchCore", "image_auroc", "weave") in verdicts(
        judged(tonight, "--against", better, *ONLY, *pair, code=1), "regression"
    )
    more = table_of(tmp_path / "more", {"washer": 0.9, "weave": 0.9, "granite": 0.9})
    assert (
        "PatchCore · granite: not in tonight's run"
        in apc_bench("gate", tonight, "--against", more, *ONLY, *pair, code=3).output
    )


def test_a_printed_mean_is_judged_as_a_mean_over_the_same_categories_only(run, tmp_path):
    night = read_recorded_run(record(run, tmp_path / "tonight", noisy(2), day=2))
    rows = (Printed("PatchCore", 0, None, None, "image_auroc", 0.9, "full"),)
    system = night.results.systems[0]
    for categories, units in ((("washer", "weave"), 1), (("washer", "weave", "wood"), 0)):
        made, missing, _ = printed_families(
            night,
            Side("printed", "table", None, rows, categories),
            [(system, ("PatchCore", 0))],
            ["image_auroc"],
        )
        assert (len(made), len(missing)) == (units, 1 - units)
        for one in made:
            unit = one.units(Asked(), 1)
            assert [(part.category, part.before) for part in unit] == [(None, pytest.approx(0.9))]
            assert unit[0].verdict == "regression"


def test_published_figures_of_another_dataset_or_system_do_not_compare_and_names_are_helped(run):
    assert (
        "is the run that is to be judged" in apc_bench("gate", run, "--against", run, code=2).output
    )
    assert (
        "is of the dataset mvtec_ad"
        in apc_bench("gate", run, "--against", "mvtec_ad:apc_poster", code=3).output
    )
    assert (
        "did you mean 'mvtec_ad'" in apc_bench("gate", run, "--against", "mvtec_add", code=2).output
    )


def test_systems_of_a_table_are_found_by_title_and_shots_and_never_guessed(run, tmp_path):
    night = read_recorded_run(run)

    def side(*names: tuple[str, int]) -> Side:
        rows = tuple(
            Printed(name, shots, "weave", None, "image_auroc", 0.9, "full") for name, shots in names
        )
        return Side("printed", "table", None, rows, ("weave",))

    chosen, reasons = choose(night, side(("PatchCore R50", 0), ("APC", 2), ("PRNet", 2)), [])
    assert [(system.label, key) for system, key in chosen] == [
        ("PatchCore", ("PatchCore R50", 0)),
        ("APC, 2 shots", ("APC", 2)),
    ]
    assert reasons == []
    chosen, reasons = choose(night, side(("PatchCore R50", 0), ("PatchCore WR50", 0)), [])
    assert chosen == [] and "may be any of" in reasons[0]
    assert (
        "no system of the run is one of printed" in choose(night, side(("Dinomaly", 0)), [])[1][0]
    )
    assert [key for _, key in choose(night, side(("Dinomaly", 0)), [("apc@2", "Dinomaly")])[0]] == [
        ("Dinomaly", 0)
    ]
    with pytest.raises(UsageError, match="did you mean 'apc@2'"):
        choose(night, side(("Dinomaly", 0)), [("apc@3", "Dinomaly")])
