"""What a job may say of anomalib's models, without anomalib: names, lengths, backbones, arguments."""

import importlib.metadata

import pytest
from support import apc_bench, make_category

from apc_bench.errors import UsageError
from apc_bench.settings import anomalib
from apc_bench.settings.anomalib import MODELS
from apc_bench.settings.sweep import Method, make_sweep


def method(settings, **values):
    methods = {"a": {"detector": "anomalib", "settings": settings, **values}}
    return make_sweep({"methods": methods}, source="a job").methods["a"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_its_own_length_layers_and_backbone_and_comes_back_from_a_run_folder(model):
    images = {"images": "folder"} if MODELS[model].images else {}
    of = method({"model": model.lower(), **images})
    spec = MODELS[model]
    assert of.settings.model == model and of.backbone == spec.backbone
    assert (of.settings.epochs, of.settings.steps) == (spec.epochs, spec.steps)
    assert of.settings.layers == spec.layers
    assert Method.model_validate(of.model_dump(mode="json")) == of
    assert of.settings.holds_out and not of.settings.learns_from_anomalous


def test_only_a_supervised_supersimplenet_learns_from_anomalous_images():
    for supervised in (True, False):
        settings = {"model": "SuperSimpleNet", "model_args": {"supervised": supervised}}
        assert method(settings).settings.learns_from_anomalous is supervised
    assert not method({"model": "Padim"}).settings.trains


def test_steps_stand_for_epochs_and_the_smoothing_trains_nothing():
    of = method({"model": "Stfpm", "steps": 7})
    assert (of.settings.epochs, of.settings.steps) == (None, 7)
    smoother = method({"model": "Stfpm", "steps": 7, "sigma": 2})
    assert smoother.settings.training() == of.settings.training()
    assert smoother.settings.identity() != of.settings.identity()
    assert of.settings.images_trained_on(100) == 7 * 32
    assert method({"model": "Stfpm"}).settings.images_trained_on(100) == 100 * 100


@pytest.mark.parametrize(
    ("settings", "values", "told"),
    [
        ({"model": "Dreem"}, {}, "unknown model of anomalib 'Dreem' (known: Dfm, Dinomaly, Draem"),
        ({"model": "Padim", "epochs": 3}, {}, "anomalib's Padim is fitted in one pass"),
        ({"model": "Stfpm", "epochs": 3, "steps": 3}, {}, "give epochs or steps, not both"),
        ({"model": "Dfm", "layers": ["layer2", "layer3"]}, {}, "anomalib's Dfm takes one layer"),
        ({"model": "Fastflow", "layers": ["layer2"]}, {}, "chooses its layers itself"),
        ({"model": "Dfm", "model_args": {"score_type": "nll"}}, {}, "gives a map"),
        ({"model": "Padim", "model_args": {"backbone": "x"}}, {}, "backbone is no choice here"),
        ({"model": "Draem"}, {}, "fetch the Describable Textures (600 MB, https://www.robots"),
        ({"model": "EfficientAd"}, {}, "fetch ImageNette (1.5 GB, https://s3.amazonaws.com"),
        ({"model": "Padim", "images": "folder"}, {}, "learns from no other photos"),
        ({"model": "EfficientAd", "images": "f", "steps": 1}, {}, "give 2 or more"),
        ({"model": "EfficientAd", "images": "x", "batch_size": 2}, {}, "image by image"),
        ({"model": "Draem", "images": "x"}, {"backbone": "resnet18"}, "a network of its own"),
        ({"model": "Dinomaly"}, {"backbone": "resnet18"}, "needs a vision transformer of timm"),
        ({"model": "Padim"}, {"backbone": "none"}, "backbone 'none' has no layers"),
        ({"model": "Padim"}, {"backbone": "builtin", "weights": 3}, "weights"),
        ({"model": "Padim", "layers": ["layer4"]}, {"backbone": "builtin"}, "has no layer4"),
        ({"model": "Padim", "batch": 3}, {}, "detector 'anomalib' has no 'batch'"),
    ],
)
def test_what_does_not_fit_is_one_line(settings, values, told):
    with pytest.raises(UsageError) as error:
        method(settings, **values)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_no_other_system_stands_on_what_is_no_backbone():
    for backbone in ("none", "anomalib/efficient_ad"):
        with pytest.raises(UsageError, match="has no layers that this detector could read"):
            make_sweep({"methods": {"a": {"backbone": backbone}}}, source="a job")


def test_without_anomalib_a_sweep_says_how_to_install_it_and_other_commands_go_on(
    tmp_path, monkeypatch
):
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(anomalib, "version", absent)
    job = tmp_path / "job.yaml"
    job.write_text(
        "image_size: 32\nreserve: 1\nshots: [1]\nmethods:\n  a: {detector: anomalib, settings:"
        " {model: Padim}}\n"
    )
    make_category(tmp_path / "data")
    for options in ((), ("--dry-run",)):
        told = apc_bench(
            "sweep",
            "--job",
            job,
            "--data",
            tmp_path / "data",
            "--run",
            tmp_path / "run",
            *options,
            code=2,
        ).output
        assert told.splitlines()[-1].startswith("error: detector 'anomalib' needs the package")
        assert "pip install 'apc-bench[anomalib]'" in told
    assert "Settings of detector anomalib" in apc_bench("methods", "--job", job).output
    assert not (tmp_path / "run").exists()
