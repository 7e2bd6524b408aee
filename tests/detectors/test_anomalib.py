"""anomalib's models behind our protocol: they score as anomalib itself does, learn from what they may,
start from the weights that they are given, and leave the process as they found it.
"""

import logging
import random
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from apc_bench.detectors.anomalib.checking import check
from apc_bench.detectors.anomalib.detector import Anomalib, FittedAnomalib
from apc_bench.detectors.anomalib.surroundings import load_anomalib, quiet
from apc_bench.detectors.protocol import Images, Training
from apc_bench.errors import ApcError, UsageError, WeightsError
from apc_bench.networks.weights import resolve
from apc_bench.settings.sweep import Method

pytest.importorskip("anomalib", reason="anomalib is not installed (the extra 'anomalib')")

NORMAL, HELD_OUT, DRAWN, SIDE = 12, 3, 3, 64
SMALL_PADIM = {"model": "Padim", "model_args": {"n_features": 20}}
SUPERVISED = {
    "model": "SuperSimpleNet",
    "epochs": 2,
    "layers": ["layer1"],
    "model_args": {"supervised": True},
}
QUICK = [
    SMALL_PADIM,
    {"model": "Patchcore"},
    {"model": "Dfm", "model_args": {"pooling_kernel_size": 2}},
    {"model": "Stfpm", "steps": 20, "batch_size": 4},
    SUPERVISED,
]


def data(side: int = SIDE) -> tuple[Training, Images]:
    """Images of noise, the last ones with a bright square, and all of them to be scored."""
    generator = np.random.default_rng(0)
    array = generator.integers(80, 120, (NORMAL + DRAWN, 3, side, side), np.uint8)
    masks = np.zeros((DRAWN, side, side), bool)
    masks[:, 8:20, 8:20] = True
    array[NORMAL:, :, 8:20, 8:20] = 250
    names = tuple(map(str, range(len(array))))
    images = Images(array, np.arange(len(array)), names, names)
    training = Training(
        normal=images.at(range(NORMAL)),
        learnable=images.at(range(NORMAL - HELD_OUT)),
        calibration=images.at(range(NORMAL - HELD_OUT, NORMAL)),
        anomalous=images.at(range(NORMAL, NORMAL + DRAWN)),
        masks=masks,
        masked=np.ones(DRAWN, bool),
        seed=2**50 + 1,
        device="cpu",
        mixed_precision=False,
        memo=lambda *_: None,
    )
    return training, images


def method(settings: dict[str, Any], **values: Any) -> Method:
    return Method.model_validate(
        {"detector": "anomalib", "backbone": "builtin", "settings": settings, **values}
    )


def fitted(of: Method, training: Training, folder: Path) -> FittedAnomalib:
    """As the worker does it: trained in one step, fitted in another."""
    weights = resolve(of.backbone, file=of.weights, cache=folder, fetch=False)
    trained = None
    if of.settings.trains:
        trained = folder / "trained.safetensors"
        trained.write_bytes(Anomalib(of, weights.path, weights.sha256).train(training).weights)
    return Anomalib(of, weights.path, weights.sha256).fit(training, trained)


@pytest.mark.parametrize("settings", QUICK, ids=lambda settings: settings["model"])
def test_a_model_finds_the_anomaly_twice_alike_and_leaves_no_trace(
    settings, tmp_path, monkeypatch, capfd
):
    training, images = data()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        expected = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        model = fitted(method(settings), training, tmp_path / "kept")
        scored, (held_out, calibration) = model.score(images), model.calibrate()
        found.append([scored.maps, scored.scores, calibration.scores])
        assert torch.equal(torch.get_rng_state(), expected[0])
        assert np.array_equal(np.random.get_state()[1], expected[1])
        assert random.getstate() == expected[2]
    assert all(np.array_equal(*pair) for pair in zip(*found, strict=True))
    assert scored.maps.shape == (len(images), SIDE, SIDE) and scored.maps.dtype == np.float32
    assert scored.scores[NORMAL:].min() > scored.scores[:NORMAL].max()
    if settings is not SUPERVISED:  # whose map needs a longer training
        inside = scored.maps[NORMAL:, 10:18, 10:18].mean()
        assert inside > scored.maps[NORMAL:, 40:, 40:].mean()
    rows, columns = scored.worst.T
    assert np.array_equal(scored.maps[range(len(images)), rows, columns], scored.maps.max((1, 2)))
    assert held_out.names == training.calibration.names
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert capfd.readouterr() == ("", "")


def state_file(path: Path, network: torch.nn.Module) -> Path:
    torch.save({k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}, path)
    return path


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return state_file(
        tmp_path_factory.mktemp("weights") / "resnet18.pth", torchvision.models.resnet18()
    )


def test_its_patchcore_scores_as_anomalib_s_own_on_the_same_weights(resnet18, tmp_path):
    """The oracle is anomalib's torch model on timm's network, fed by hand. All patches are kept, so
    that the order of the choice is no matter.
    """
    training, images = data()
    settings = {"model": "Patchcore", "model_args": {"coreset_sampling_ratio": 1.0}}
    scored = fitted(
        method(settings, backbone="resnet18", weights=resnet18), training, tmp_path
    ).score(images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        oracle = PatchcoreModel(("layer2", "layer3"), "resnet18", pre_trained=False)
    network = oracle.feature_extractor.feature_extractor
    missing, foreign = network.load_state_dict(torch.load(resnet18), strict=False)
    assert not missing and all(name.startswith("layer4") for name in foreign)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    pixels = (torch.from_numpy(images.array) / 255 - mean) / std
    oracle.train()
    oracle(pixels[:NORMAL])
    oracle.memory_bank = torch.vstack(oracle.embedding_store)
    oracle.eval()
    with torch.inference_mode():
        expected = oracle(pixels)
    assert scored.scores == pytest.approx(expected.pred_score.numpy(), rel=1e-3, abs=2e-3)
    assert scored.maps == pytest.approx(expected.anomaly_map[:, 0].numpy(), rel=1e-3, abs=2e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "ReverseDistillation", "steps": 1, "batch_size": 2},
        {"model": "Fastflow", "steps": 1, "batch_size": 2},
    ],
    ids=lambda settings: settings["model"],
)
def test_a_model_for_torchvision_s_networks_keeps_the_weights_that_it_is_given(
    settings, resnet18, tmp_path
):
    training, images = data()
    of = method(settings, backbone="resnet18", weights=resnet18)
    model = fitted(of, training, tmp_path)
    (network,) = model.built.loaded
    given = torch.load(resnet18)
    state = network.state_dict()
    assert state and all(
        torch.equal(value, given[name.removeprefix("backbone.")])
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    )
    assert np.isfinite(model.score(images.at([0, NORMAL])).maps).all()


def test_supervised_supersimplenet_learns_from_masked_drawn_images_and_nothing_else_does(tmp_path):
    training, _ = data()
    darker = training.anomalous.array.copy()
    darker[NORMAL:] = 10
    changed = replace(training, anomalous=replace(training.anomalous, array=darker))

    def trained(settings: dict[str, Any], on: Training) -> Any:
        of = method(settings)
        weights = resolve(of.backbone, file=None, cache=tmp_path)
        return Anomalib(of, weights.path, weights.sha256).train(on)

    alone = {**SUPERVISED, "model_args": {}, "steps": 1, "epochs": None, "batch_size": 2}
    assert trained(alone, training).weights == trained(alone, changed).weights
    supervised = {**SUPERVISED, "batch_size": 4}
    learned = trained(supervised, training)
    assert learned.weights != trained(supervised, changed).weights
    assert len(learned.curves) == 2 * 2, "an epoch is the drawn images and as many normal ones"
    few = trained(supervised, replace(training, masked=np.array([True, False, False])))
    assert few.notes == ("2 of 3 drawn images have no usable mask and take no part",)
    assert len(few.curves) == 2 * 1


def test_a_model_that_learns_in_one_pass_calibrates_on_images_that_it_has_not_seen(tmp_path):
    training, _ = data()
    model = fitted(method(SMALL_PADIM), training, tmp_path)
    held_out, calibration = model.calibrate()
    assert calibration.scores.min() > model.score(held_out).scores.max()
    without = replace(training, normal=training.learnable)
    apart = fitted(method(SMALL_PADIM), without, tmp_path).score(held_out)
    assert np.array_equal(apart.scores, calibration.scores)


def test_a_transformer_of_timm_is_no_other_one_after_anomalib_had_it(tmp_path):
    timm = pytest.importorskip("timm")
    from timm.models import vision_transformer

    torch.manual_seed(0)
    file = state_file(tmp_path / "vit.pth", timm.create_model("test_vit", num_classes=0))
    before, created = vision_transformer.resample_abs_pos_embed, timm.create_model
    of = method(
        {"model": "Patchcore", "layers": ["blocks.1", "-1"]},
        backbone="timm/test_vit.r160_in1k",
        weights=file,
    )
    training, images = data()
    model = fitted(of, training, tmp_path)
    assert model.score(images).scores[NORMAL:].min() > 0
    assert vision_transformer.resample_abs_pos_embed is before and timm.create_model is created
    assert "resized" not in " ".join(model.notes), "64 px are a multiple of its patches of 16 px"


def teacher(path: Path, *, channels: int = 384) -> Path:
    """The archive of EfficientAd's teachers, made up."""
    load_anomalib()  # which keeps the warnings of its imports to itself
    from anomalib.models.image.efficient_ad.torch_model import SmallPatchDescriptionNetwork

    torch.manual_seed(0)
    file = path.with_suffix(".pth")
    torch.save(SmallPatchDescriptionNetwork(channels).state_dict(), file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, "efficientad_pretrained_weights/pretrained_teacher_small.pth")
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "some").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "some" / f"{number}.png")
    return folder


def test_what_is_wrong_is_one_line_before_the_first_step(tmp_path, photos, resnet18):
    (tmp_path / "empty").mkdir()
    efficient = {"model": "EfficientAd", "images": str(photos)}
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(b"PK none")
    on = {"backbone": "resnet18", "weights": resnet18}
    for settings, values, kind, told in (
        (
            {"model": "Padim", "model_args": {"n_feature": 3}},
            on,
            UsageError,
            "unknown argument of anomalib's Padim 'n_feature' (known: n_features); did you mean",
        ),
        (
            {"model": "Padim", "model_args": {"n_features": 5000}},
            on,
            UsageError,
            "on backbone 'resnet18': set model_args.n_features, 1 to 448 (got 5000)",
        ),
        (
            {"model": "Padim"},
            {},
            UsageError,
            "anomalib's Padim keeps n_features of the 224 values that a patch has on backbone"
            " 'builtin': set model_args.n_features, 1 to 224 (there is no usual number for 'builtin')",
        ),
        ({"model": "Padim", "model_args": {"n_features": 224}}, {}, None, ""),
        ({"model": "Fastflow"}, {}, UsageError, "Backbone builtin is not supported"),
        ({"model": "Padim", "layers": ["layer4"]}, on, None, ""),
        (
            {"model": "Draem", "images": str(tmp_path)},
            {"backbone": "none"},
            UsageError,
            "holds no folders of photos; anomalib's Draem learns from such, too: the Describable",
        ),
        (
            efficient,
            {"backbone": "anomalib/efficient_ad", "weights": damaged},
            WeightsError,
            "it is damaged; fetch it again",
        ),
        (
            efficient,
            {
                "backbone": "anomalib/efficient_ad",
                "weights": teacher(tmp_path / "t.zip", channels=9),
            },
            WeightsError,
            "are not of EfficientAd's small teacher",
        ),
        (
            efficient,
            {"backbone": "anomalib/efficient_ad", "weights": teacher(tmp_path / "u.zip")},
            None,
            "",
        ),
    ):
        of = method(settings, **values)
        weights = resolve(of.backbone, file=of.weights, cache=tmp_path, fetch=False)
        if kind is None:
            check(of, weights, 64)
            continue
        with pytest.raises(ApcError) as error:
            check(of, weights, 64)
        assert type(error.value) is kind and told in str(error.value)


def test_its_logs_are_as_loud_as_before_and_what_it_raises_is_seen():

    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with quiet():
        assert not logger.isEnabledFor(logging.WARNING) and logger.isEnabledFor(logging.ERROR)
    assert logger.level == before
    with pytest.raises(ValueError, match="of its own"), quiet():
        raise ValueError("of its own")
    assert logger.level == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["EfficientAd", "Draem", "Dinomaly"])
def test_a_heavy_model_is_trained_and_scores_too(name, tmp_path, photos):
    timm = pytest.importorskip("timm")
    values: dict[str, Any] = {"backbone": "none"}
    settings: dict[str, Any] = {"model": name, "steps": 1, "images": str(photos)}
    if name == "EfficientAd":
        settings["steps"] = 2
        values = {"backbone": "anomalib/efficient_ad", "weights": teacher(tmp_path / "t.zip")}
    elif name == "Draem":
        settings["batch_size"] = 2
    else:
        torch.manual_seed(0)
        network = timm.create_model("vit_small_patch14_dinov2", img_size=70, num_classes=0)
        file = state_file(tmp_path / "vit.pth", network)
        values = {"backbone": "timm/vit_small_patch14_dinov2.lvd142m", "weights": file}
        settings = {"model": name, "steps": 1, "batch_size": 2}
    training, images = data()
    training = replace(
        training,
        learnable=training.learnable.at([0, 1]),
        calibration=training.calibration.at([0]),
    )
    model = fitted(method(settings, **values), training, tmp_path)
    scored, (_, calibration) = model.score(images.at([0, NORMAL])), model.calibrate()
    assert scored.maps.shape == (2, SIDE, SIDE) and np.isfinite(scored.maps).all()
    assert len(calibration.scores) == 1
    assert any("sees images of 64 px resized to" in note for note in model.notes) == (
        name != "Draem"
    )
