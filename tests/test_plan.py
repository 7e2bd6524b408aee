"""Two steps, two ids: what is planned, what changes an id, and what does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from apc_bench.datasets.counts import PUBLISHED
from apc_bench.datasets.samples import Category, Sample
from apc_bench.datasets.split import make_split
from apc_bench.errors import UsageError
from apc_bench.plan import EXTRACTOR, TRIAL, Planned, fingerprint, make_plan
from apc_bench.settings.detectors import DETECTORS, ApcSettings
from apc_bench.settings.job import sweep_from
from apc_bench.settings.sweep import make_sweep

ENVIRONMENT = {"torch": "2", "device": "cpu/x", "threads": "1"}


def category(name: str, folder: str = "somewhere") -> Category:
    train, good, types = PUBLISHED["mvtec_ad"][name]
    samples = [Sample(f"train/good/{i}.png", None, "good", True, f"t{i}") for i in range(train)]
    samples += [Sample(f"test/good/{i}.png", None, "good", False, f"g{i}") for i in range(good)]
    samples += [
        Sample(f"test/{kind}/{i}.png", None, kind, False, f"{kind}{i}")
        for kind, count in types.items()
        for i in range(count)
    ]
    return Category(name, Path(folder), tuple(samples))


def planned(sweep, one: Category, fingerprint: str = "f") -> Planned:
    hashes = {sample.image: sample.image for sample in one.samples}
    splits = {
        seed: make_split(one, hashes, sweep.evaluation, dataset="mvtec_ad", seed=seed)
        for seed in sweep.seeds
    }
    return Planned(one, fingerprint, splits)


def plan(
    sweep,
    *,
    names=("bottle",),
    fingerprint="f",
    weights="w",
    environment=ENVIRONMENT,
    folder="somewhere",
    dataset="mvtec_ad",
    networks=None,
):
    return make_plan(
        sweep,
        dataset,
        [planned(sweep, category(name, folder), fingerprint) for name in names],
        dict.fromkeys(sweep.methods, weights),
        environment,
        networks,
    )


def keys(steps) -> set[str]:
    return {step.result_key for step in steps}


def test_what_another_package_s_backbone_is_made_of_is_part_of_its_keys_alone():
    """Another version of timm, or another mean, is another result of the same trial."""
    sweep, _ = sweep_from("tiny", {})
    made_of = {"package": "timm 1.0.31", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    plans = [plan(sweep)]
    for other in ({}, {"package": "timm 1.0.32"}, {"mean": [0.4, 0.5, 0.5]}):
        networks = dict.fromkeys(sweep.methods, made_of | other)
        plans.append(plan(sweep, networks=networks))
    assert len(set.union(*map(keys, plans))) == sum(map(len, plans))
    assert len({step.trial_id for steps in plans for step in steps}) == len(plans[0])


def test_the_paper_s_job_has_450_fine_tunings_and_675_trials():
    sweep, _ = sweep_from("paper", {})
    steps = plan(sweep, names=tuple(PUBLISHED["mvtec_ad"]))
    assert sum(step.kind == EXTRACTOR for step in steps) == 15 * 2 * 3 * 5
    assert sum(step.kind == TRIAL for step in steps) == 15 * (3 * 5 + 2 * 3 * 5)
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
        {"interpolation": "bicubic"},
        {"reserve": 11},
        {"false_alarms": 0.1},
    ],
)
def test_a_changed_setting_changes_every_trial_s_ids(change):
    sweep, _ = sweep_from("paper", {"seeds": (0,)})
    other, _ = sweep_from("paper", {"seeds": (0,), **change})
    one, two = plan(sweep), plan(other)
    assert not {step.trial_id for step in one if step.kind == TRIAL} & {
        step.trial_id for step in two if step.kind == TRIAL
    }
    assert not keys(step for step in one if step.kind == TRIAL) & keys(
        step for step in two if step.kind == TRIAL
    )


@pytest.mark.parametrize(
    "change",
    [{"fingerprint": "g"}, {"weights": "v"}, {"environment": {**ENVIRONMENT, "torch": "3"}}],
)
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


def test_what_was_implied_before_it_was_a_setting_is_in_no_id():
    """A run of then and one of now with the settings of then do the same steps."""
    for kind in DETECTORS.values():
        implied = kind.model_validate(kind.implied)
        first_names = {kind.former_names.get(name, name) for name in kind.implied}
        assert not first_names & {**implied.identity(), **implied.training()}.keys()


def test_an_ablation_over_the_bank_fine_tunes_once_and_one_over_the_training_does_not():
    def sweep_of(**settings):
        base = {"detector": "apc", "backbone": "builtin"}
        return make_sweep(
            {
                "methods": {"a": base, "b": {**base, "settings": settings}},
                "shots": [1],
                "seeds": [0],
            },
            source="test",
        )

    kinds = [step.kind for step in plan(sweep_of(coreset_ratio=0.2, layers=["layer1", "layer2"]))]
    assert kinds == [EXTRACTOR, TRIAL, TRIAL]
    kinds = [step.kind for step in plan(sweep_of(extractor_learning_rate=1e-5))]
    assert kinds == [EXTRACTOR, EXTRACTOR, TRIAL, TRIAL]


def test_ids_stay_what_they_were():
    """Golden ids: if they change, every result of every user is done again."""
    bicubic = {"interpolation": "bicubic"}  # as it was before there was a choice
    sweep, _ = sweep_from("paper", {"seeds": (0,), "shots": (1,), **bicubic})
    found = {f"{step.kind} {step.method}": (step.trial_id, step.result_key) for step in plan(sweep)}
    assert found == GOLDEN


GOLDEN = {
    "extractor apc": ("0de582a90235b32f", "26f7bf8a64d88562"),
    "trial apc": ("af566ff82f17de3a", "f9e9ec0fd78f3b4c"),
    "trial apc-frozen": ("25828b2aacbb918d", "91462aead4464886"),
    "trial patchcore": ("7a8d44a3e44c388e", "f7a80a8959063240"),
    "trial patchcore-wr50": ("8ba640aeab6c7a0f", "aefc51ef2ec9ce35"),
    "extractor prnet": ("c3ed5bc2987816b1", "fab79620d468ce81"),
    "trial prnet": ("dd2a89cd5f933a87", "b68a486b65f1f78f"),
}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"only": ("pachcore",)}, "did you mean 'patchcore'"),
        ({"backbone": "resnet-18"}, "did you mean 'resnet18'"),
        ({"shots": (20,)}, "above the reserve of 10"),
        ({"shots": (0,)}, "must be at least 1"),
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
    assert list(sweep.methods) == ["patchcore", "prnet", "apc"]
    assert len(lines) == 2


TUNED = {"detector": "apc", "backbone": "builtin"}
TRAINING_CHANGES = {
    "steps": 7,
    "batch": 4,
    "anomalous_share": 0.3,
    "extractor_learning_rate": 1e-5,
    "heads_learning_rate": 1e-5,
    "weight_decay": 0.5,
    "batch_norm": "trainable",
    "skips": "none",
    "segmentation_loss": "focal",
    "positive_weight_max": 3.0,
    "reconstruct": "normal_pixels",
    "normals": "half",
    "jitter": 0.2,
    "shift": 0.2,
    "rotation": 1.0,
    "flip": False,
    "scale": 0.1,
    "crop": 0.3,
    "crop_on_defect": 0.2,
    "losses": {"segmentation": 0.0},
}
BANK_CHANGES = {
    "search": {"faiss": "HNSW32"},
    "layers": ("layer2",),
    "neighbourhood": 1,
    "pretrain_dim": 8,
    "target_dim": 8,
    "coreset_ratio": 0.5,
    "projection_dim": None,
    "starting_points": 1,
    "distance": "euclidean",
    "reweight_neighbours": 9,
    "sigma": 0.0,
    "patches_max": 5,
    "bank_max": 5,
    "weight_interpolation": 0.9,
    "calibrate_on": "held_out",
}


def keys_by_kind(settings: dict) -> dict[str, str]:
    sweep = make_sweep(
        {"methods": {"a": {**TUNED, "settings": settings}}, "shots": [1], "seeds": [0]},
        source="test",
    )
    return {step.kind: step.result_key for step in plan(sweep)}


def test_every_setting_of_a_detector_is_in_the_trial_s_key_and_the_training_s_in_the_extractor_s():
    """All of them: a new setting must be entered here, on one side or the other."""
    assert set(TRAINING_CHANGES) | set(BANK_CHANGES) == set(ApcSettings.model_fields)
    plain = keys_by_kind({})
    for name, value in TRAINING_CHANGES.items():
        changed = keys_by_kind({name: value})
        assert changed[EXTRACTOR] != plain[EXTRACTOR], name
        assert changed[TRIAL] != plain[TRIAL], name
    for name, value in BANK_CHANGES.items():
        changed = keys_by_kind({name: value})
        assert changed[EXTRACTOR] == plain[EXTRACTOR], name
        assert changed[TRIAL] != plain[TRIAL], name


def test_titles_places_of_weights_and_what_else_is_swept_are_in_no_key():
    one = {"methods": {"a": TUNED}, "shots": [1], "seeds": [0]}
    other = {
        "methods": {"a": {**TUNED, "title": "A", "weights": "w.pth"}, "b": {}},
        "only": ["a"],
        "shots": [1],
        "seeds": [0],
        "job": "j",
    }
    assert (
        plan(make_sweep(one, source="test"))[0].result_key
        == plan(make_sweep(other, source="test"))[0].result_key
    )
    assert keys(plan(make_sweep(one, source="test"))) == keys(
        plan(make_sweep(other, source="test"))
    )


@pytest.mark.parametrize("other", [{"dataset": "d2"}, {"names": ("capsule",)}])
def test_another_dataset_or_category_is_another_trial(other):
    sweep, _ = sweep_from("paper", {"seeds": (0,), "shots": (1,)})
    assert not keys(plan(sweep)) & keys(plan(sweep, **other))


def test_shots_and_seeds_are_other_trials_and_a_frozen_detector_has_one_for_all_shots():
    sweep, _ = sweep_from("paper", {"seeds": (0, 1)})
    steps = plan(sweep)
    assert len({step.trial_id for step in steps}) == len(steps)
    assert {step.shots for step in steps if step.method == "patchcore"} == {0}
    assert {(step.shots, step.seed) for step in steps if step.method == "apc"} == {
        (shots, seed) for shots in (1, 5, 10) for seed in (0, 1)
    }


def test_the_order_of_categories_methods_and_settings_changes_no_step():
    sweep, _ = sweep_from("paper", {"seeds": (0,)})
    turned = sweep.model_copy(update={"methods": dict(reversed(sweep.methods.items()))})
    forth = plan(sweep, names=("bottle", "cable", "screw"))
    back = plan(turned, names=("screw", "cable", "bottle"))
    assert [step.result_key for step in forth] == [step.result_key for step in back]


def test_two_steps_of_every_method_come_first_and_then_the_long_ones():
    """So that the time left is soon known, and what does not work at all is soon seen."""
    sweep, _ = sweep_from("quickstart", {})
    steps = plan(sweep)
    begun = [step for step in steps if step.needs is None]
    count = len(sweep.methods)
    for turn in (begun[:count], begun[count : 2 * count]):
        assert {step.method for step in turn} == {*sweep.methods}
    trainings = [step.macs for step in begun[2 * count :] if step.kind == EXTRACTOR]
    assert trainings == sorted(trainings, reverse=True)


def content(**changes: object) -> str:
    sample = {
        "image": "test/crack/0.png",
        "mask": "m.png",
        "defect_type": "crack",
        "training": False,
        "group": "g",
        "part": None,
    }
    hashes = {"test/crack/0.png": "h1", "test/crack/1.png": "h1", "m.png": "h2", "n.png": "h2"}
    left_out = changes.pop("left_out", {})
    hashes.update(changes.pop("hashes", {}))
    return fingerprint(
        Category("c", Path(str(changes.pop("folder", "f"))), (Sample(**{**sample, **changes}),)),
        hashes,
        left_out,
    )


def test_a_fingerprint_is_of_content_masks_types_groups_and_what_was_left_out():
    plain = content()
    assert content(folder="elsewhere") == plain
    assert content(mask="n.png") == plain  # another name of the same mask
    others = [
        content(image="test/crack/1.png"),
        content(mask=None),
        content(defect_type="cut"),
        content(group="h"),
        content(left_out={"test/crack/9.png": "empty file"}),
        content(hashes={"test/crack/0.png": "h3"}),
        content(hashes={"m.png": "h3"}),
    ]
    assert len({plain, *others}) == 1 + len(others)


def test_a_plan_loads_neither_torch_nor_any_reader_of_files():
    code = "import sys, apc_bench.plan; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()
    assert not {"torch", "ray", "numpy", "polars", "pyarrow", "PIL"} & set(loaded)


def test_under_cross_fitting_a_step_is_of_a_fold():
    sweep, _ = sweep_from("photos", {"folds": 2, "shots": (5,)})
    assert {step.name for step in plan(sweep)} == {
        *(f"score patchcore · bottle · fold {fold}" for fold in (0, 1)),
        *(
            f"{kind} apc · bottle · 5 shots · fold {f}"
            for kind in ("fine-tune", "score")
            for f in (0, 1)
        ),
    }
