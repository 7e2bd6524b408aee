"""Promises of loading weights files, on files in the layouts of torchvision and of MoCo v3, with
torchvision's own networks as the oracle.
"""

import copy
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from apc_bench.errors import UsageError, WeightsError
from apc_bench.networks.backbones import STAGES, normalise
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.networks.weights import resolve
from apc_bench.settings.backbones import BACKBONES

State = dict[str, Tensor]

# The oracle's networks, named apart from the registry under test.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "wide_resnet50_2": models.wide_resnet50_2,
    "moco_v3_resnet50": models.resnet50,
    "builtin": SmallResNet,
}


def random_state(network: nn.Module, seed: int) -> State:
    """A state dict for the network, random in every value (batch norms' statistics too), at scales
    that keep maps finite.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(seed + 100)
        elif key.endswith("running_var") or (
            ("bn" in key or "downsample.1" in key) and key.endswith("weight")
        ):
            state[key] = torch.rand(value.shape, generator=generator) + 0.5
        else:
            fan_in = value[0].numel() if value.ndim > 1 else 100
            state[key] = (
                torch.rand(value.shape, generator=generator).sub_(0.5).mul_(3.5 * fan_in**-0.5)
            )
    return state


def network_of(name: str) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS[name]()


def older(state: State) -> State:
    """As torchvision's ResNet files of 2017 are: batch norms without their counters."""
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def moco_checkpoint(encoder: State) -> dict[str, object]:
    """MoCo v3's checkpoint: both encoders with projectors in place of the classifier, the
    predictor, the optimiser's state.
    """
    generator = torch.Generator().manual_seed(1)

    def mlp(inputs: int, affine: bool) -> State:
        widths = {
            "0.weight": (64, inputs),
            "1.weight": (64,),
            "1.bias": (64,),
            "1.running_mean": (64,),
            "1.running_var": (64,),
        }
        state = {key: torch.rand(shape, generator=generator) for key, shape in widths.items()}
        state |= {
            "1.num_batches_tracked": torch.tensor(7),
            "3.weight": torch.rand(16, 64, generator=generator),
        }
        return (
            state
            if affine
            else state
            | {
                "4.running_mean": torch.rand(16),
                "4.running_var": torch.rand(16),
                "4.num_batches_tracked": torch.tensor(7),
            }
        )

    body = {key: value for key, value in encoder.items() if not key.startswith("fc.")}
    state = {f"module.base_encoder.{key}": value for key, value in body.items()}
    state |= {f"module.base_encoder.fc.{key}": value for key, value in mlp(2048, False).items()}
    # The momentum encoder's values differ, so that taking them would show; their shapes suffice for
    # all but the stem.
    state |= {f"module.momentum_encoder.{key}": torch.full((1,), 9.0) for key in body}
    state |= {
        f"module.momentum_encoder.{key}": body[key] + 1 for key in ("conv1.weight", "bn1.weight")
    }
    state |= {f"module.momentum_encoder.fc.{key}": value for key, value in mlp(2048, False).items()}
    state |= {f"module.predictor.{key}": value for key, value in mlp(16, False).items()}
    optimiser = {"state": {0: {"mu": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "epoch": 1000,
        "arch": "resnet50",
        "state_dict": state,
        "optimizer": optimiser,
        "scaler": {"scale": 65536.0},
    }


@pytest.fixture(scope="module")
def states() -> dict[str, State]:
    return {name: random_state(network_of(name), seed) for seed, name in enumerate(NETWORKS)}


@pytest.fixture(scope="module")
def files(
    states: dict[str, State], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Each backbone's file in the layout it is published in, deleted after the tests: they are
    large.
    """
    folder = tmp_path_factory.mktemp("weights")
    paths = {name: folder / f"{name}.pth" for name in states}
    torch.save(states["resnet18"], paths["resnet18"])
    torch.save(older(states["resnet50"]), paths["resnet50"])
    torch.save(older(states["wide_resnet50_2"]), paths["wide_resnet50_2"])
    torch.save(moco_checkpoint(states["moco_v3_resnet50"]), paths["moco_v3_resnet50"])
    paths["builtin"] = folder / "builtin.safetensors"
    save_file(
        {
            key: value.half() if value.is_floating_point() else value
            for key, value in states["builtin"].items()
        },
        paths["builtin"],
    )
    yield paths
    for path in paths.values():
        path.unlink()


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def reference_maps(network: nn.Module, images: Tensor) -> State:
    with torch.inference_mode():
        part = dict(network.named_children())
        maps = {"stem": part["relu"](part["bn1"](part["conv1"](images)))}
        out = part["maxpool"](maps["stem"])
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            if stage in part:
                out = maps[stage] = part[stage](out)
    return maps


@pytest.mark.parametrize("name", BACKBONES)
def test_every_tensor_is_the_files_and_every_map_is_torchvisions(
    name: str, states: dict[str, State], files: dict[str, Path]
) -> None:
    expected = states[name]
    if name == "builtin":
        expected = {
            key: value.half().float() if value.is_floating_point() else value
            for key, value in expected.items()
        }
    backbone, messages = load_backbone(name, files[name])
    assert messages == []
    loaded = backbone.state_dict()
    assert set(loaded) == {key for key in expected if not key.startswith("fc.")}
    counters = {key for key in loaded if key.endswith("num_batches_tracked")}
    for key in set(loaded) - counters:
        assert loaded[key].dtype == torch.float32
        assert torch.equal(loaded[key], expected[key]), key
    if name in ("resnet50", "wide_resnet50_2"):
        assert all(loaded[key] == 0 for key in counters), "the file has none"
    else:
        assert all(loaded[key] == expected[key] for key in counters)

    network = network_of(name)
    network.load_state_dict(expected, assign=True)
    images = torch.randn(2, 3, 50, 64, generator=torch.Generator().manual_seed(5))
    reference = reference_maps(network.eval(), images)
    with torch.inference_mode():
        maps = backbone(images, last=backbone.stages[-1])
    assert list(maps) == list(reference) == list(backbone.stages)
    for stage, values in maps.items():
        assert torch.equal(values, reference[stage]), stage
        stride = backbone.strides[stage]
        assert values.shape == (2, backbone.channels[stage], -(-50 // stride), -(-64 // stride))


def test_a_loaded_backbone_is_ready_to_use_and_to_train(files: dict[str, Path]) -> None:
    backbone, _ = load_backbone("resnet18", files["resnet18"])
    assert not any(module.training for module in backbone.modules())
    assert all(
        parameter.requires_grad and parameter.device.type == "cpu"
        for parameter in backbone.parameters()
    )
    assert not any(buffer.is_meta for buffer in backbone.buffers())
    assert (backbone.name, backbone.stages, backbone.untrained) == ("resnet18", STAGES, ())
    twin = copy.deepcopy(backbone)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(
        twin(images, last="layer2")["layer2"], backbone(images, last="layer2")["layer2"]
    )


def test_loading_draws_no_random_number(files: dict[str, Path]) -> None:
    before = torch.get_rng_state()
    load_backbone("resnet18", files["resnet18"])
    assert torch.equal(torch.get_rng_state(), before)


def test_forward_runs_no_further_than_the_last_stage(files: dict[str, Path]) -> None:
    backbone, _ = load_backbone("resnet18", files["resnet18"])
    ran: list[str] = []
    for stage in STAGES[1:]:
        backbone.get_submodule(stage).register_forward_hook(
            lambda *_, stage=stage: ran.append(stage)
        )
    assert list(backbone(torch.zeros(1, 3, 32, 32), last="layer2")) == ["stem", "layer1", "layer2"]
    assert ran == ["layer1", "layer2"]
    assert list(backbone(torch.zeros(1, 3, 32, 32), last="stem")) == ["stem"]


def test_truncating_drops_the_later_stages_and_nothing_else(
    files: dict[str, Path], states: dict[str, State]
) -> None:
    backbone, _ = load_backbone("resnet18", files["resnet18"])
    images = torch.randn(1, 3, 32, 32)
    before = backbone(images, last="layer2")["layer2"]
    backbone.truncate("layer2")
    assert (
        list(backbone.channels)
        == list(backbone.strides)
        == list(backbone.stages)
        == ["stem", "layer1", "layer2"]
    )
    assert set(backbone.state_dict()) == {
        key for key in states["resnet18"] if not key.startswith(("layer3", "layer4", "fc"))
    }
    assert torch.equal(backbone(images, last="layer2")["layer2"], before)
    with pytest.raises(UsageError, match="unknown stage 'layer3'"):
        backbone(images, last="layer3")


def test_a_saved_backbone_loads_again(files: dict[str, Path], tmp_path: Path) -> None:
    backbone, _ = load_backbone("resnet18", files["resnet18"])
    backbone.truncate("layer3")
    save_file(backbone.state_dict(), tmp_path / "tuned.safetensors")
    again, messages = load_backbone("resnet18", tmp_path / "tuned.safetensors")
    assert again.untrained == ("layer4",)
    assert len(messages) == 1
    assert all(
        torch.equal(value, backbone.state_dict()[key]) for key, value in again.state_dict().items()
    )


def test_a_stage_that_a_backbone_does_not_have_is_named(files: dict[str, Path]) -> None:
    backbone, _ = load_backbone("builtin", files["builtin"])
    assert backbone.stages == ("stem", "layer1", "layer2", "layer3")
    with pytest.raises(
        UsageError, match=r"'builtin': unknown stage 'layer4' \(known: .*layer3.*stem\)"
    ):
        backbone(torch.zeros(1, 3, 32, 32), last="layer4")


def test_an_unknown_backbone_is_named_with_the_nearest(files: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet50'"):
        load_backbone("resnet5O", files["resnet50"])


def test_a_partial_file_says_what_is_missing_and_what_that_means(
    states: dict[str, State], tmp_path: Path
) -> None:
    part = {
        key: value
        for key, value in states["resnet18"].items()
        if not key.startswith(("layer4", "fc"))
    }
    backbone, messages = load_backbone("resnet18", saved(part, tmp_path / "part.pth"))
    assert (backbone.untrained, backbone.stages) == (
        ("layer4",),
        ("stem", "layer1", "layer2", "layer3"),
    )
    assert not any(key.startswith("layer4") for key in backbone.state_dict())
    (message,) = messages
    for told in (
        "part.pth has nothing for layer4",
        "layer1, layer2, layer3 work in full",
        "start at layer3",
    ):
        assert told in message
    with pytest.raises(
        WeightsError,
        match=r"no trained layer4: its weights file holds only stem, layer1, layer2, layer3",
    ):
        backbone(torch.zeros(1, 3, 32, 32), last="layer4")
    with pytest.raises(WeightsError, match="no trained layer4"):
        backbone.truncate("layer4")


def test_a_stage_half_missing_is_an_error(states: dict[str, State], tmp_path: Path) -> None:
    part = {
        key: value
        for key, value in states["resnet18"].items()
        if not key.startswith(("layer4.1", "layer3.0.bn2.bias"))
    }
    with pytest.raises(
        WeightsError, match=r"only a part of layer3: 'layer3\.0\.bn2\.bias' missing"
    ):
        load_backbone("resnet18", saved(part, tmp_path / "half.pth"))
    del part["bn1.running_var"]
    with pytest.raises(WeightsError, match=r"only a part of stem: 'bn1\.running_var' missing"):
        load_backbone("resnet18", saved(part, tmp_path / "half.pth"))


def test_a_gap_between_stages_is_an_error(states: dict[str, State], tmp_path: Path) -> None:
    part = {key: value for key, value in states["resnet18"].items() if not key.startswith("layer3")}
    with pytest.raises(WeightsError, match="have layer4 but nothing for layer3"):
        load_backbone("resnet18", saved(part, tmp_path / "gap.pth"))


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("resnet18", "backbone."),
        ("resnet18", "module.encoder_q."),
        ("moco_v3_resnet50", "module."),
        ("moco_v3_resnet50", "encoder."),
    ],
)
def test_a_wrong_prefix_is_named_with_the_expected_one(
    name: str, prefix: str, states: dict[str, State], tmp_path: Path
) -> None:
    path = saved(
        {"state_dict": {prefix + key: value for key, value in states["resnet18"].items()}},
        tmp_path / "prefixed.pth",
    )
    expected = {"resnet18": "no prefix", "moco_v3_resnet50": "'module.base_encoder.'"}[name]
    with pytest.raises(
        WeightsError, match=re.escape(f"prefix '{prefix}', expected {expected} for '{name}'")
    ) as caught:
        load_backbone(name, path)
    assert str(path) in str(caught.value)
    assert "fit backbone" in str(caught.value) or "k.removeprefix(PREFIX)" in str(caught.value)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_put_before_every_name_is_left_out_and_said(
    prefix: str, states: dict[str, State], tmp_path: Path
) -> None:
    """DataParallel and torch.compile rename all tensors of the network that they hold."""
    state = states["resnet18"]
    wrapped = {prefix + key: value for key, value in state.items()}
    backbone, messages = load_backbone("resnet18", saved(wrapped, tmp_path / "ddp.pth"))
    assert messages == [f"ddp.pth: '{prefix}' before every name is left out, a wrapper's"]
    plain, _ = load_backbone("resnet18", saved(state, tmp_path / "plain.pth"))
    for key, value in plain.state_dict().items():
        assert torch.equal(backbone.state_dict()[key], value), key


def test_a_prefix_of_some_names_alone_is_no_wrappers(
    states: dict[str, State], tmp_path: Path
) -> None:
    mixed = {
        (key if key.startswith("layer4") else "module." + key): value
        for key, value in states["resnet18"].items()
    }
    with pytest.raises(WeightsError, match=r"prefix 'module\.', expected no prefix .*removeprefix"):
        load_backbone("resnet18", saved(mixed, tmp_path / "mixed.pth"))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("resnet18", "resnet50"),
        ("resnet50", "wide_resnet50_2"),
        ("wide_resnet50_2", "resnet50"),
        ("resnet50", "moco_v3_resnet50"),
        ("moco_v3_resnet50", "resnet50"),
        ("builtin", "resnet18"),
        ("resnet50", "builtin"),
    ],
)
def test_another_network_is_named(name: str, other: str, files: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match=f"they fit backbone '{other}'") as caught:
        load_backbone(name, files[other])
    assert "\n" not in str(caught.value)
    assert str(files[other]) in str(caught.value)


def test_a_network_that_is_not_known_is_refused_with_the_first_difference(tmp_path: Path) -> None:
    with torch.device("meta"):
        deeper, other = models.resnet34(), models.squeezenet1_1()
    first = {
        key: value
        for key, value in random_state(deeper, 0).items()
        if not key.startswith(("layer3", "layer4", "fc"))
    }
    path = saved(first, tmp_path / "deeper.pth")
    with pytest.raises(
        WeightsError, match=r"not of backbone 'resnet18': it has no 'layer1\.2\.conv1\.weight'$"
    ):
        load_backbone("resnet18", path)
    with pytest.raises(WeightsError, match="of no residual network"):
        load_backbone("resnet18", saved(random_state(other, 0), path))
    with pytest.raises(WeightsError, match="of no residual network"):
        load_backbone("resnet18", saved({}, path))
    with pytest.raises(WeightsError, match=re.escape(r"it has no 'two\nlines'")):
        load_backbone("resnet18", saved({"two\nlines": torch.zeros(1), **first}, path))


def test_a_moco_encoder_alone_is_taken_and_said(states: dict[str, State], tmp_path: Path) -> None:
    encoder = {
        key: value
        for key, value in states["moco_v3_resnet50"].items()
        if not key.startswith(("layer4", "fc."))
    }
    backbone, messages = load_backbone("moco_v3_resnet50", saved(encoder, tmp_path / "encoder.pth"))
    assert (
        messages[0]
        == "encoder.pth holds a plain encoder, taken for that of backbone 'moco_v3_resnet50'"
    )
    assert messages[1].startswith("encoder.pth has nothing for layer4")
    assert torch.equal(
        backbone.state_dict()["layer3.5.conv3.weight"], encoder["layer3.5.conv3.weight"]
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(
    dtype: torch.dtype, states: dict[str, State], tmp_path: Path
) -> None:
    state = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in states["builtin"].items()
    }
    backbone, _ = load_backbone("builtin", saved(state, tmp_path / "small.pth"))
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, state[key].float() if value.is_floating_point() else state[key])
        assert value.dtype in (torch.float32, torch.int64)


def test_tensors_that_share_memory_in_the_file_do_not_in_the_network(
    states: dict[str, State], tmp_path: Path
) -> None:
    ones = torch.ones(32)
    state = states["builtin"] | {
        "bn1.weight": ones,
        "layer1.0.bn1.weight": ones,
        "layer1.0.bn2.weight": ones,
    }
    backbone, _ = load_backbone("builtin", saved(state, tmp_path / "shared.pth"))
    pointers = [value.data_ptr() for value in backbone.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


def test_values_that_are_not_numbers_are_refused(states: dict[str, State], tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        state = states["builtin"] | {"bn1.bias": torch.full((32,), value)}
        with pytest.raises(WeightsError, match=r"'bn1\.bias' holds values that are not finite"):
            load_backbone("builtin", saved(state, tmp_path / "nan.pth"))
    state = states["builtin"] | {"bn1.bias": torch.ones(32, dtype=torch.int8)}
    with pytest.raises(WeightsError, match=r"'bn1\.bias' is torch\.int8"):
        load_backbone("builtin", saved(state, tmp_path / "int.pth"))


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("modern", [True, False])
def test_pickled_code_is_refused_and_never_run(
    modern: bool, states: dict[str, State], tmp_path: Path
) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    torch.save(
        {**states["builtin"], "x": _Payload(canary)}, path, _use_new_zipfile_serialization=modern
    )
    with pytest.raises(
        WeightsError, match=r"pickled code or objects \('\w+\.system'\), which are never loaded"
    ) as caught:
        load_backbone("builtin", path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"SmallResNet.*save the network's state_dict"):
        load_backbone("builtin", saved(SmallResNet(), tmp_path / "network.pth"))


def test_the_older_format_of_torch_is_read(states: dict[str, State], tmp_path: Path) -> None:
    torch.save(states["builtin"], tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    backbone, _ = load_backbone("builtin", tmp_path / "old.pth")
    assert torch.equal(backbone.state_dict()["conv1.weight"], states["builtin"]["conv1.weight"])


@pytest.mark.parametrize("kind", ["modern.pth", "old.pth", "half.safetensors"])
def test_a_truncated_file_is_one_line(kind: str, states: dict[str, State], tmp_path: Path) -> None:
    path = tmp_path / kind
    if path.suffix == ".pth":
        torch.save(
            states["builtin"], path, _use_new_zipfile_serialization=kind.startswith("modern")
        )
    else:
        save_file(states["builtin"], path)
    whole = path.read_bytes()
    for length in (0, 1, 7, 100, 5000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=re.escape(str(path))) as caught:
            load_backbone("builtin", path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["junk.pth", "junk.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"<html>Not Found</html>",
        b"\x80\x02}q\x00.",
        random.Random(0).randbytes(4000),
        b"PK\x03\x04junk",
    ],
)
def test_junk_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(path))) as caught:
        load_backbone("resnet18", path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"model": {}, "epoch": 3}, "entries 'model', 'epoch'"),
        ({"state_dict": {"conv1.weight": 3}}, "entries 'conv1.weight'"),
        ({"conv1.weight": torch.zeros(2, device="meta")}, "entries 'conv1.weight'"),
        ([torch.zeros(2)], "a list"),
        (torch.zeros(2), "a Tensor"),
    ],
)
def test_what_is_no_state_dict_is_said(content: object, got: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"no state dict of plain tensors, but {got}"):
        load_backbone("resnet18", saved(content, tmp_path / "odd.pth"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights file at .*none\.pth"):
        load_backbone("resnet18", tmp_path / "none.pth")


def test_the_shipped_weights_load_and_tell_images_apart(tmp_path: Path) -> None:
    backbone, messages = load_backbone(
        "builtin", resolve("builtin", file=None, cache=tmp_path, fetch=False).path
    )
    assert messages == []
    assert backbone.untrained == ()
    images = torch.randint(
        0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        maps = backbone(normalise(images), last="layer3")
    assert all(values.isfinite().all() and values.std() > 0 for values in maps.values())
    assert not torch.equal(maps["layer3"][0], maps["layer3"][1])
