"""Two steps, two ids: what is planned, what changes an id, and what does not."""

from pathlib import Path

import pytest

from apc_bench.datasets.catalog import MVTEC_AD_COUNTS
from apc_bench.datasets.layouts import Category, Sample
from apc_bench.datasets.split import make_split
from apc_bench.errors import UsageError
from apc_bench.job import sweep_from
from apc_bench.plan import EXTRACTOR, TRIAL, Planned, make_plan
from apc_bench.settings import make_sweep

ENVIRONMENT = {"torch": "2", "device": "cpu/x", "threads": "1"}


def category(name: str, folder: str = "somewhere") -> Category:
    train, good, types = MVTEC_AD_COUNTS[name]
    samples = [Sample(f"train/good/{i}.png", None, "good", True, f"t{i}") for i in range(train)]
    samples += [Sample(f"test/good/{i}.png", None, "good", False, f"g{i}") for i in range(good)]
    samples += [Sample(f"test/{kind}/{i}.png", None, kind, False, f"{kind}{i}") for kind, count in types.items() for i in range(count)]
    return Category(name, Path(folder), tuple(samples))


def planned(sweep, one: Category, fingerprint: str = "f") -> Planned:
    hashes = {sample.image: sample.image for sample in one.samples}
    splits = {seed: make_split(one, hashes, dataset="mvtec_ad", seed=seed, reserve=sweep.reserve) for seed in sweep.seeds}
    return Planned(one, fingerprint, splits)


def plan(sweep, *, names=("bottle",), fingerprint="f", weights="w", environment=ENVIRONMENT, folder="somewhere", dataset="mvtec_ad"):
    return make_plan(
        sweep,
        dataset,
        [planned(sweep, category(name, folder), fingerprint) for name in names],
        dict.fromkeys(sweep.methods, weights),
        environment,
    )


def keys(steps) -> set[str]:
    return {step.result_key for step in steps}


def test_the_paper_s_job_has_225_fine_tunings_and_450_trials():
    sweep, _ = sweep_from("paper", {})
    steps = plan(sweep, names=tuple(MVTEC_AD_COUNTS))
    assert sum(step.kind == EXTRACTOR for step in steps) == 15 * 3 * 5
    assert sum(step.kind == TRIAL for step in steps) == 15 * (3 * 5 + 3 * 5)
    assert len(keys(steps)) == len(steps)
    done = set()
    for step in steps:
        assert step.needs is None or step.needs in done
        done.add(step.result_key)


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 96},
        {"resize": "letterbox"},
        {"reserve": 11},
        {"false_alarms": 0.1},
    ],
)
def test_a_changed_setting_changes_every_trial_s_ids(change):
    sweep, _ = sweep_from("paper", {"seeds": (0,)})
    other, _ = sweep_from("paper", {"seeds": (0,), **change})
    one, two = plan(sweep), plan(other)
    assert not {step.trial_id for step in one if step.kind == TRIAL} & {step.trial_id for step in two if step.kind == TRIAL}
    assert not keys(step for step in one if step.kind == TRIAL) & keys(step for step in two if step.kind == TRIAL)


@pytest.mark.parametrize("change", [{"fingerprint": "g"}, {"weights": "v"}, {"environment": {**ENVIRONMENT, "torch": "3"}}])
def test_other_content_weights_or_versions_change_the_key_but_not_what_the_trial_is(change):
    sweep, _ = sweep_from("paper", {"seeds": (0,)})
    one, two = plan(sweep), plan(sweep, **change)
    assert not keys(one) & keys(two)
    assert [step.trial_id for step in one] == [step.trial_id for step in two]


def test_places_and_added_seeds_change_no_key():
    sweep, _ = sweep_from("paper", {"seeds": (0,)})
    more, _ = sweep_from("paper", {"seeds": (0, 1), "shots": (1, 3, 5, 10)})
    assert keys(plan(sweep)) == keys(plan(sweep, folder="elsewhere"))
    assert keys(plan(sweep)) < keys(plan(more))


def test_an_ablation_over_the_bank_fine_tunes_once_and_one_over_the_training_does_not():
    def sweep_of(**settings):
        base = {"detector": "apc", "backbone": "builtin"}
        return make_sweep({"methods": {"a": base, "b": {**base, "settings": settings}}, "shots": [1], "seeds": [0]}, source="test")

    kinds = [step.kind for step in plan(sweep_of(coreset_ratio=0.2, layers=["layer1", "layer2"]))]
    assert kinds == [EXTRACTOR, TRIAL, TRIAL]
    kinds = [step.kind for step in plan(sweep_of(rate_extractor=1e-5))]
    assert kinds == [EXTRACTOR, EXTRACTOR, TRIAL, TRIAL]


def test_ids_stay_what_they_were():
    """Golden ids: if they change, every result of every user is done again."""
    sweep, _ = sweep_from("paper", {"seeds": (0,), "shots": (1,)})
    found = {f"{step.kind} {step.method}": (step.trial_id, step.result_key) for step in plan(sweep)}
    assert found == GOLDEN


GOLDEN = {
    "extractor apc": ("e26750b8845686ea", "8ebea0f9cd0827b2"),
    "trial apc": ("7d1891e90635cbfc", "b0030d3dbe41fd7c"),
    "trial apc-frozen": ("25828b2aacbb918d", "91462aead4464886"),
    "trial patchcore": ("7a8d44a3e44c388e", "f7a80a8959063240"),
    "trial patchcore-wr50": ("8ba640aeab6c7a0f", "aefc51ef2ec9ce35"),
}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"only": ("pachcore",)}, "did you mean 'patchcore'"),
        ({"backbone": "resnet-18"}, "did you mean 'resnet18'"),
        ({"shots": (20,)}, "above the reserve of 10"),
        ({"shots": (0,)}, "greater than or equal to 1"),
        ({"weights": Path("w.pth")}, "say which with --backbone"),
    ],
)
def test_a_wrong_flag_is_one_line_with_the_nearest_name(flags, message):
    with pytest.raises(UsageError) as error:
        sweep_from("paper", flags)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("methods: {a: {stps: 3}}", "unknown setting 'stps'"),
        ("methods: {a: {detector: apc, settings: {stps: 3}}}", "did you mean 'steps'"),
        ("methods: {}", "at least one method"),
        ("shots: [1]", "methods"),
        ("- 1", "must hold settings"),
        ("a: [", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("methods: {a: {}}\nseeds: [1, 1]", "each once"),
        ("methods: {'a/b': {}}", "method name 'a/b'"),
    ],
)
def test_a_wrong_job_file_is_one_line_that_names_it(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        sweep_from(str(path), {})
    assert message in str(error.value)
    assert "mine" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_job_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'quickstart'"):
        sweep_from("quikstart", {})


def test_methods_that_a_flag_made_the_same_run_once():
    sweep, lines = sweep_from("paper", {"backbone": "resnet18"})
    assert list(sweep.methods) == ["patchcore", "apc"]
    assert len(lines) == 2
