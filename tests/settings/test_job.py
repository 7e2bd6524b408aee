"""Job files: found by name or path, loaded safely, overridden by flags, wrong ones named in one
line.
"""

from pathlib import Path

import pytest

from apc_bench.errors import UsageError
from apc_bench.settings.job import load_job, override, shipped_jobs, sweep_from

TWO = (
    "methods: {a: {backbone: resnet50}, b: {detector: apc, backbone: resnet18}, c: {backbone:"
    " resnet18}}\n"
)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", sorted(shipped_jobs()))
def test_every_shipped_job_is_valid_under_its_own_name(name):
    sweep, lines = sweep_from(name, {})
    assert sweep.job == name
    assert lines == []


def test_the_jobs_of_the_readme_are_shipped():
    assert {"quickstart", "tiny", "paper"} <= shipped_jobs().keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shots: [1]\nshots: [5]\n" + TWO, "'shots' is given twice"),
        ("methods: {a: {}, a: {detector: apc}}", "'a' is given twice"),
        ("dataset: 2024-13-45\n" + TWO, "not valid YAML"),  # a date that does not exist
        ("seeds: [" + "9" * 5000 + "]", "not valid YAML"),
        ("[" * 1100, "not valid YAML"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
        ("x: &x [*x]\n" + TWO, "unknown setting 'x'"),
        ("1: 2\n" + TWO, "1: "),
        ("methods: [a]", "methods: "),
        ("methods: {a: 5}", "methods.a: "),
        ("methods: {a: text}", "methods.a: "),
        ("", "must hold settings"),
    ],
)
@pytest.mark.parametrize("flags", [{}, {"backbone": "builtin"}], ids=["plain", "overridden"])
def test_a_wrong_job_file_is_one_line(tmp_path, text, message, flags):
    job = write(tmp_path / "mine.yaml", text)
    with pytest.raises(UsageError) as error:
        sweep_from(job, flags)
    assert message in str(error.value)
    assert job in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "categories: [01, 17]\n" + TWO,
            "categories.0: .*got 1, a number to YAML: put it in quotes",
        ),
        ("dataset: 2024-01-01\n" + TWO, "dataset: .*a date to YAML: put it in quotes"),
        ("unseen: yes\n" + TWO, "unseen: .*got True, a truth value to YAML: put it in quotes"),
        ("part: 1.5\n" + TWO, "part: .*got 1.5, a number to YAML: put it in quotes"),
        (
            "categories: [null]\n" + TWO,
            "categories.0: .*got None, nothing to YAML: put it in quotes",
        ),
        (
            "methods: {1: {backbone: builtin}}",
            "methods.1.*got 1, a number to YAML: put it in quotes",
        ),
    ],
)
def test_a_name_that_yaml_makes_something_else_of_wants_quotes(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        sweep_from(write(tmp_path / "mine.yaml", text), {})
    quoted = "categories: ['01', '17']\n" + TWO
    sweep, _ = sweep_from(write(tmp_path / "mine.yaml", quoted), {})
    assert sweep.categories == ("01", "17")


def test_an_aliased_bomb_is_refused_without_being_written_out(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9)]
    with pytest.raises(UsageError) as error:
        sweep_from(
            write(tmp_path / "bomb.yaml", "\n".join(lines) + "\nimage_size: *a8\n" + TWO), {}
        )
    assert len(str(error.value)) < 700


def test_nothing_in_a_job_file_is_executed(tmp_path):
    job = write(
        tmp_path / "mine.yaml",
        "job: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path"
        f" ['{tmp_path}/canary']]",
    )
    with pytest.raises(UsageError, match="not valid YAML"):
        load_job(job)
    assert not (tmp_path / "canary").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.yaml: No such file"):
        load_job(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UsageError, match=r"folder\.yaml: "):
        load_job(str(tmp_path / "folder.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"job: caf\xe9")
    with pytest.raises(UsageError, match=r"latin\.yaml: not valid YAML"):
        load_job(str(tmp_path / "latin.yaml"))


def test_a_job_file_gives_its_name_unless_it_names_itself(tmp_path):
    assert load_job(write(tmp_path / "my first job.yml", TWO))["job"] == "my-first-job"
    assert load_job(write(tmp_path / "é.yaml", TWO))["job"] == "sweep"
    assert load_job(write(tmp_path / "a.yaml", "job: other\n" + TWO))["job"] == "other"
    assert sweep_from(str(tmp_path / "my first job.yml"), {})[0].job == "my-first-job"


def test_flags_win_and_those_not_given_change_nothing():
    job = {"shots": [1], "seeds": [0], "methods": {"a": {"backbone": "resnet50"}, "b": None}}
    assert override(job, {"shots": (5,), "seeds": None, "backbone": None}) == {**job, "shots": (5,)}
    changed = override(job, {"backbone": "builtin", "weights": Path("w")})
    assert changed["methods"] == {
        name: {"backbone": "builtin", "weights": Path("w")} for name in ("a", "b")
    }
    assert "backbone" not in changed
    assert job["methods"]["a"] == {"backbone": "resnet50"}


def test_weights_of_one_network_are_not_given_to_several(tmp_path):
    job = write(tmp_path / "mine.yaml", TWO)
    with pytest.raises(UsageError, match="--backbone"):
        sweep_from(job, {"weights": Path("w.pth")})
    sweep, _ = sweep_from(job, {"weights": Path("w.pth"), "backbone": "resnet18"})
    assert {method.weights for method in sweep.methods.values()} == {Path("w.pth")}


def test_a_method_that_a_flag_made_the_same_stands_for_the_one_that_was_asked_for(tmp_path):
    """`--methods c --backbone builtin`, where a and c are then one: it is a that runs, and not
    every method.
    """
    sweep, lines = sweep_from(
        write(tmp_path / "mine.yaml", TWO), {"backbone": "builtin", "only": ("c",)}
    )
    assert list(sweep.methods) == ["a", "b"]
    assert list(sweep.chosen) == ["a"]
    assert lines == ["method 'c' is now the same as 'a' and left out"]


def test_nothing_is_said_or_refused_of_methods_that_were_not_chosen(tmp_path):
    job = write(tmp_path / "mine.yaml", TWO)
    assert sweep_from(job, {"backbone": "builtin", "only": ("b",)})[1] == []
    assert sweep_from(job, {"only": ("b", "c"), "weights": Path("w.pth")})[1] == []


def test_methods_that_differ_in_weights_or_settings_are_both_kept(tmp_path):
    text = (
        "methods: {a: {}, b: {weights: w.pth}, c: {settings: {coreset_ratio: 0.2}}, d: {title:"
        " other}}"
    )
    sweep, lines = sweep_from(write(tmp_path / "mine.yaml", text), {})
    assert list(sweep.methods) == ["a", "b", "c"]
    assert len(lines) == 1


OLD_NAMES = """methods:
  apc: {detector: apc, settings: {rate_extractor: 0.5, heads_learning_rate: 0.25}}
  plus: {detector: apc+, settings: {rate_extractor: 0.5, classifier_rate: 0.125}}
  prnet: {detector: prnet, settings: {rate: 0.0625}}
"""


def test_a_job_file_with_a_settings_former_name_loads_and_one_line_says_so(tmp_path):
    path = write(tmp_path / "mine.yaml", OLD_NAMES)
    sweep, lines = sweep_from(path, {})
    settings = {name: method.settings for name, method in sweep.methods.items()}
    assert settings["apc"].extractor_learning_rate == 0.5
    assert settings["apc"].heads_learning_rate == 0.25
    assert settings["plus"].classifier_learning_rate == 0.125
    assert settings["prnet"].learning_rate == 0.0625
    assert lines == [
        f"job '{path}': rate_extractor is called extractor_learning_rate now, classifier_rate is"
        " called classifier_learning_rate now, rate is called learning_rate now; both names are"
        " read"
    ]


def test_a_setting_under_both_its_names_is_refused(tmp_path):
    text = "methods: {a: {detector: prnet, settings: {rate: 1, learning_rate: 2}}}"
    with pytest.raises(UsageError, match="rate is called learning_rate now: give one of them"):
        sweep_from(write(tmp_path / "mine.yaml", text), {})


def test_another_protocol_by_a_flag_takes_its_own_shots_seeds_and_no_reserve():
    sweep, _ = sweep_from("quickstart", {"protocol": "crossfit", "folds": 4})
    assert (sweep.shots, sweep.seeds, sweep.folds) == ((), (0, 1, 2, 3), 4)
    sweep, _ = sweep_from("photos", {"protocol": "holdout"})
    assert (sweep.shots, sweep.seeds) == ((1, 5, 10), (0, 1, 2))
    same, _ = sweep_from("quickstart", {"protocol": "holdout"})
    assert same == sweep_from("quickstart", {})[0]
    with pytest.raises(UsageError, match="sets no reserve apart: leave it out"):
        sweep_from("quickstart", {"protocol": "crossfit", "reserve": 4})


def test_a_method_of_other_jobs_is_named_with_them():
    with pytest.raises(
        UsageError, match=r"'paper' has no method 'apc-plus'; pass .*--job quickstart"
    ):
        sweep_from("paper", {"only": ("patchcore", "apc-plus")})
    with pytest.raises(UsageError, match="unknown method 'apc-pluss'"):
        sweep_from("quickstart", {"only": ("apc-pluss",)})


@pytest.mark.parametrize("only", [("patchcore", "prnet"), None])
def test_a_change_of_a_method_that_does_not_run_is_refused(only):
    change, job = ("apc.steps=3", "quickstart") if only else ("apc-plus.steps=3", "photos")
    with pytest.raises(UsageError, match="does not run here, so nothing would change"):
        sweep_from(job, {"only": only, "changes": (change,)})
    sweep, _ = sweep_from("quickstart", {"only": ("apc",), "changes": ("apc.steps=3",)})
    assert sweep.methods["apc"].settings.steps == 3
