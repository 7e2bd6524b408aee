"""Any backbone of timm: its stages are timm's, under several names; its weights are a file's or the
hub's and never random; its images have its own mean and size.
"""

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.protocol import Images, Training
from apc_bench.errors import UsageError, WeightsError
from apc_bench.networks import weights
from apc_bench.networks.backbones import normalise
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.unet import UNet
from apc_bench.settings.sweep import Method

timm = pytest.importorskip("timm", reason="timm is not installed (the extra 'timm')")

VIT, CONVNEXT = "timm/test_vit.r160_in1k", "timm/test_convnext.r160_in1k"
SHARED = Path(__file__).resolve().parents[3] / "shared"
SCREWS = SHARED / "data" / "mvtec_ad" / "screw"
DOCS = Path(__file__).resolve().parents[2] / "docs"


def state_of(backbone: str, **settings: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)
    model = timm.create_model(backbone.removeprefix("timm/"), **settings)
    return {key: value.contiguous() for key, value in model.state_dict().items()}


def saved(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Whole files, with the classifier, one of each kind."""
    folder = tmp_path_factory.mktemp("weights")
    return {
        VIT: saved(state_of(VIT), folder / "vit.safetensors"),
        CONVNEXT: saved(state_of(CONVNEXT), folder / "convnext.pth"),
    }


@pytest.mark.skipif(not SCREWS.is_dir(), reason="the real images beside the repository are missing")
@pytest.mark.parametrize(
    ("ours", "timms", "file", "side"),
    [
        ("resnet18", "timm/resnet18.tv_in1k", "resnet18_layers123_folded.pth", 96),
        ("resnet50", "timm/resnet50.tv2_in1k", "resnet50_imagenet_trunk_fp16.pth", 64),
    ],
)
def test_torchvision_s_weights_give_real_images_the_scores_of_our_own(ours, timms, file, side):
    path = SHARED / "weights" / file
    if not path.is_file():
        pytest.skip("the real weights beside the repository are missing")
    photos = [
        *sorted(SCREWS.glob("train/good/*.png"))[:3],
        *sorted(SCREWS.glob("test/*/*.png"))[::60],
    ]
    array = np.stack(
        [
            np.asarray(Image.open(p).convert("RGB").resize((side, side))).transpose(2, 0, 1)
            for p in photos
        ]
    )
    found = []
    for backbone in (ours, timms):
        method = Method(backbone=backbone, settings={"coreset_ratio": 1.0})
        normal, tested = (images(array, *rows) for rows in ((0, 3), (3, len(array))))
        detector = PatchCore(method, path, "0" * 64)
        found.append(detector.fit(training(normal), None).score(tested))
    np.testing.assert_array_equal(found[0].maps, found[1].maps)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)
    assert found[0].scores.std() > 0


def images(array: np.ndarray, start: int, stop: int) -> Images:
    names = tuple(f"{row}.png" for row in range(start, stop))
    return Images(array, np.arange(start, stop), names, names)


def training(normal: Images) -> Training:
    side = normal.array.shape[-1]
    return Training(
        normal=normal,
        learnable=normal,
        calibration=None,
        anomalous=normal.at([]),
        masks=np.zeros((0, side, side), bool),
        masked=np.zeros(0, bool),
        seed=0,
        device="cpu",
        mixed_precision=False,
        memo=lambda key, shape, fill: None,
    )


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        (
            ("layer1", "layer2", "layer3", "layer4"),
            ("blocks.1", "blocks.2", "blocks.4", "blocks.5"),
        ),
        (("blocks.0", "blocks.3"), ("blocks.0", "blocks.3")),
        (("0", "-1"), ("blocks.0", "blocks.5")),
    ],
)
def test_a_transformer_s_layers_are_its_patches_between_blocks(files, layers, wanted):
    """By hand: what each block puts out, without the class token, row by row."""
    backbone, _ = load_backbone(VIT, files[VIT])
    assert backbone.select(layers) == wanted
    tokens: dict[str, Tensor] = {}
    for name in wanted:
        block = backbone.model.get_submodule(name)
        block.register_forward_hook(lambda _, __, out, name=name: tokens.update({name: out}))
    with torch.inference_mode():
        maps = backbone(torch.rand(2, 3, 48, 48), last=wanted[-1])
    for name in wanted:
        grid = tokens[name][:, 1:].reshape(2, 3, 3, 64).permute(0, 3, 1, 2)
        assert torch.equal(maps[name], grid)
        assert (backbone.channels[name], backbone.strides[name]) == (64, 16)


def test_a_convolutional_network_s_layers_are_its_stages(files):
    backbone, _ = load_backbone(CONVNEXT, files[CONVNEXT])
    assert backbone.select(["layer2", "layer3"]) == ("stages.1", "stages.2")
    assert backbone.select(["stages.0", "3"]) == ("stages.0", "stages.3")
    with torch.inference_mode():
        maps = backbone(torch.rand(1, 3, 64, 64), last="stages.3")
    sizes = {name: tuple(found.shape[1:]) for name, found in maps.items()}
    assert sizes == {
        "stages.0": (24, 16, 16),
        "stages.1": (32, 8, 8),
        "stages.2": (48, 4, 4),
        "stages.3": (64, 2, 2),
    }


def test_register_tokens_are_left_out(tmp_path):
    name = "timm/test_vit3.r160_in1k"  # one register token and no class token
    backbone, _ = load_backbone(name, saved(state_of(name), tmp_path / "vit.pth"))
    with torch.inference_mode():
        maps = backbone(torch.rand(1, 3, 64, 32 * 2), last=backbone.stages[-1])
    assert {tuple(found.shape) for found in maps.values()} == {(1, 96, 4, 4)}


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            ["blocks.6"],
            r"no layer 'blocks.6'; by name or number it has 0 blocks.0, .* 5 blocks.5; or",
        ),
        (["6"], r"no layer '6'.*layer1 \(blocks.1\), layer2 \(blocks.2\)"),
        (["stages.1"], "no layer 'stages.1'"),
        (["5", "blocks.2"], r"shallow first, each once: 5 \(blocks.5\), blocks.2"),
        (["layer4", "5"], "each once"),
    ],
)
def test_a_wrong_layer_is_answered_with_those_that_there_are(files, layers, said):
    backbone, _ = load_backbone(VIT, files[VIT])
    with pytest.raises(UsageError, match=said):
        backbone.select(layers)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/vit_smal_patch14_dinov2", "did you mean timm/vit_small_patch14_dinov2"),
        ("timm/resnet18.imagenet", "no weights 'imagenet' of resnet18: .*timm/resnet18.tv_in1k"),
    ],
)
def test_a_wrong_name_is_answered_with_near_ones(name, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        weights.describe(name, file=None, cache=tmp_path)


def test_images_have_the_model_s_own_mean_and_go_in_at_a_multiple_of_its_patches(files):
    backbone, _ = load_backbone(VIT, files[VIT])
    assert backbone.statistics == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    grey = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert torch.equal(normalise(grey, backbone.statistics), torch.ones(1, 3, 2, 2))
    assert (backbone.notes(64), backbone.side_of(60), backbone.side_of(50)) == ((), 64, 48)
    (note,) = backbone.notes(50)
    assert "50 px resized to 48 px" in note and "16 px" in note
    with torch.inference_mode():
        maps = backbone(torch.rand(1, 3, 50, 50), last="blocks.5")
    assert maps["blocks.5"].shape == (1, 64, 3, 3)


@pytest.mark.parametrize("name", [VIT, CONVNEXT])
@pytest.mark.parametrize("side", [64, 50])
def test_a_decoder_climbs_whatever_stages_there_are(files, name, side):
    backbone, _ = load_backbone(name, files[name])
    network = UNet(backbone).train()
    found = network(torch.rand(2, 3, side, side))
    assert found.masks.shape == (2, side, side) and found.images.shape == (2, 3, side, side)
    (found.masks.sum() + found.classes.sum() + found.images.sum()).backward()
    without = {
        key
        for key, parameter in network.named_parameters()
        if parameter.grad is None and not key.endswith("pos_embed")
    }
    assert not without


def test_what_comes_after_the_deepest_layer_is_dropped_and_the_maps_stay(files):
    backbone, _ = load_backbone(VIT, files[VIT])
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        before = backbone(picture, last="blocks.2")["blocks.2"]
        backbone.truncate("blocks.2")
        assert torch.equal(backbone(picture, last="blocks.2")["blocks.2"], before)
    assert not any("blocks.3." in key for key in backbone.state_dict())
    assert backbone.stages == ("blocks.1", "blocks.2")


def test_every_value_that_is_read_is_the_file_s(files):
    backbone, messages = load_backbone(CONVNEXT, files[CONVNEXT])
    state = state_of(CONVNEXT)
    for key, value in backbone.model.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert messages == []


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("blocks.0.attn.qkv.weight", "part of the network: 'blocks.0.attn.qkv.weight' missing"),
        ("pos_embed", "'pos_embed' missing"),
        ("blocks.5.mlp.fc2.bias", "'blocks.5.mlp.fc2.bias' missing"),
    ],
)
def test_a_file_that_lacks_a_tensor_is_refused_and_nothing_starts_at_random(
    missing, said, tmp_path
):
    state = {key: value for key, value in state_of(VIT).items() if key != missing}
    with pytest.raises(WeightsError, match=said):
        load_backbone(VIT, saved(state, tmp_path / "part.pth"))


def test_stages_that_a_file_lacks_cannot_be_used(tmp_path):
    state = {key: value for key, value in state_of(VIT).items() if key < "blocks.4" or key > "c"}
    backbone, messages = load_backbone(VIT, saved(state, tmp_path / "part.pth"))
    assert backbone.untrained == ("blocks.4", "blocks.5")
    assert messages == [
        "part.pth has nothing for blocks.4, blocks.5: blocks.4, blocks.5 cannot be used"
    ]
    assert backbone.stages == ("blocks.1", "blocks.2")
    for layer in ("layer4", "blocks.4", "-1"):
        with pytest.raises(WeightsError, match=r"has no trained blocks\.[45]"):
            backbone.select([layer])
    assert all(value.isfinite().all() for value in backbone.state_dict().values())


def test_another_network_s_file_is_refused_by_name(files):
    with pytest.raises(WeightsError, match=f"not of backbone '{VIT}': it has no 'stem"):
        load_backbone(VIT, files[CONVNEXT])


def test_what_timm_can_translate_is_taken_and_what_it_cannot_fill_is_refused(tmp_path):
    """Position embeddings of pictures of another size are timm's to resize."""
    state = state_of(VIT, img_size=64)
    assert state["pos_embed"].shape != state_of(VIT)["pos_embed"].shape
    backbone, messages = load_backbone(VIT, saved(state, tmp_path / "small.pth"))
    assert "timm translated" in messages[0]
    kept = backbone.model.state_dict()["blocks.3.mlp.fc1.weight"]
    assert torch.equal(kept, state["blocks.3.mlp.fc1.weight"])
    del state["blocks.3.mlp.fc1.weight"]
    with pytest.raises(WeightsError, match=r"not of backbone .*'pos_embed' is"):
        load_backbone(VIT, saved(state, tmp_path / "part.pth"))


def test_what_timm_would_leave_at_random_is_refused(tmp_path):
    """timm loads this model's files without asking whether they are whole."""
    state = state_of("timm/dla46_c.in1k")
    state["of another"] = state.pop("level2.root.conv.weight")
    with pytest.raises(WeightsError, match=r"there is nothing for 'level2\.root\.conv\.weight'"):
        load_backbone("timm/dla46_c.in1k", saved(state, tmp_path / "part.pth"))


def test_features_are_remembered_by_timm_s_version_and_statistics_too(files):
    backbone, _ = load_backbone(VIT, files[VIT])
    keys = {backbone.key("a"), backbone.key("b")}
    for other in ({"package": "timm 0.9"}, {"mean": (0.1, 0.1, 0.1)}):
        backbone.network = replace(backbone.network, **other)
        keys.add(backbone.key("a"))
    assert len(keys) == 4


class Hub(http.server.BaseHTTPRequestHandler):
    """As the hub answers for one file of one commit."""

    content: bytes

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(self.content)

    def _answer(self, body: bytes) -> None:
        found = (
            self.path == f"/{VIT}/resolve/main/model.safetensors"
            or "/resolve/" + "c" * 40 in self.path
        )
        self.send_response(200 if found else 404)
        if found:
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("ETag", f'"{"e" * 40}"')
        self.send_header("Content-Length", str(len(self.content) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(files, monkeypatch, tmp_path) -> Iterator[str]:
    from huggingface_hub import constants

    Hub.content = files[VIT].read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub's own"))
    yield address
    server.shutdown()
    server.server_close()


def test_weights_come_from_the_hub_once_and_their_licence_is_said(hub, files, tmp_path):
    cache = tmp_path / "cache"
    note = weights.describe(VIT, file=None, cache=cache)
    assert note is not None
    assert (
        "https://huggingface.co/timm/test_vit.r160_in1k" in note and "licence: apache-2.0" in note
    )
    with pytest.raises(WeightsError, match="downloads are off; name their file"):
        weights.resolve(VIT, file=None, cache=cache, fetch=False)
    found = weights.resolve(VIT, file=None, cache=cache)
    assert found.path.read_bytes() == files[VIT].read_bytes()
    assert found.path.is_relative_to(cache) and "apache-2.0" in found.origin
    assert (
        str(found.network) == f"timm {timm.__version__}, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)"
    )
    assert weights.describe(VIT, file=None, cache=cache) is None
    assert weights.resolve(VIT, file=None, cache=cache, fetch=False) == found


def test_without_a_network_one_line_says_what_to_do(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub's own"))
    with pytest.raises(
        WeightsError, match=r"cannot be had .*; name their file .* with --weights FILE"
    ) as error:
        weights.resolve(VIT, file=None, cache=tmp_path)
    assert "\n" not in str(error.value)


def test_the_backbones_that_the_documentation_names_are_timm_s():
    page = (DOCS / "backbones.md").read_text()
    named = {word.strip("`.,;:()|") for word in page.split() if word.startswith("`timm/")}
    assert {
        "timm/vit_small_patch14_dinov2.lvd142m",
        "timm/vit_base_patch14_dinov2.lvd142m",
    } <= named
    for name in named - {"timm/NAME", "timm/MODEL.WEIGHTS"}:
        weights.describe(name, file=None, cache=Path("nowhere"))
