"""The generator of the images that the `builtin` backbone learns from, and the weights that came of
it.
"""

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Generator

from apc_bench.errors import UsageError
from apc_bench.networks.small_resnet import SmallResNet

REPOSITORY = Path(__file__).resolve().parents[1]
WEIGHTS = REPOSITORY / "apc_bench" / "networks" / "builtin.safetensors"


def script(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


textures = script("procedural_textures")
procedural = script("procedural_images")
pretrain = script("pretrain_builtin")
FIELDS, LABELS = textures.draw_fields(Generator().manual_seed(3), 2, 48)


def scenes(seed: int) -> object:
    return procedural.compose(Generator().manual_seed(seed), FIELDS, LABELS, 4, 32)


def test_formulas_have_names_of_their_own() -> None:
    names = [formula.name for formula in textures.formulas()]
    assert 100 <= len(names) == len(set(names))


def test_every_field_is_finite_in_range_and_not_flat() -> None:
    assert FIELDS.shape == (2 * len(textures.formulas()), 48, 48)
    assert FIELDS.min() == 0
    assert FIELDS.max() == 1
    assert FIELDS.std((1, 2)).min() > 0.01


def test_no_two_fields_are_equal() -> None:
    assert len(torch.unique(FIELDS.flatten(1), dim=0)) == len(FIELDS)


def test_the_same_seed_gives_the_same_scenes_and_another_seed_others() -> None:
    first, again, other = scenes(1), scenes(1), scenes(2)
    for name in ("images", "labels", "regions", "marks"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))


def test_shares_of_regions_sum_to_one_and_images_are_in_range() -> None:
    batch = scenes(4)
    torch.testing.assert_close(batch.regions.sum(1), torch.ones(4, 32, 32))
    for values in (batch.images, batch.marks):
        assert values.min() >= 0
        assert values.max() <= 1


def test_marks_change_an_image_only_where_they_cover_it() -> None:
    plain = torch.full((64, 3, 32, 32), 0.5)
    images, coverage = procedural.marked(Generator().manual_seed(5), plain)
    changed = (images - plain).abs().amax(1)
    covered = coverage.amax(1)
    assert changed[covered == 0].max() == 0
    assert changed[covered > 0.9].mean() > 0.05


def test_batches_depend_on_seed_and_step_alone() -> None:
    settings = pretrain.Training(seed=2, batch=2, size=32, side=32, per_formula=1, renew=3)
    run = pretrain.scene_batches(settings, 0)
    fifth = [next(run) for _ in range(5)][4]
    assert torch.equal(fifth.images, next(pretrain.scene_batches(settings, 4)).images)


def test_a_resumed_training_ends_in_the_same_weights(tmp_path: Path) -> None:
    settings = pretrain.Training(steps=2, batch=2, size=32, side=32, per_formula=1, renew=2)
    whole = pretrain.train(settings, tmp_path / "whole.pt", save_every=1).state_dict()
    with pytest.raises(KeyboardInterrupt):
        pretrain.train(settings, tmp_path / "parts.pt", save_every=1, after_step=stop_once)
    resumed = pretrain.train(settings, tmp_path / "parts.pt", save_every=1).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    torch.save({"training": "Training(seed=9)", "step": 1}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="another training"):
        pretrain.resume(tmp_path / "other.pt", pretrain.Training(), {})


def stop_once(step: int) -> None:
    raise KeyboardInterrupt(step)


def test_balancing_scales_features_and_changes_nothing_else() -> None:
    torch.manual_seed(0)
    network = SmallResNet().eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        before = pretrain.stages(network, images)
        pretrain.rescale(network, torch.full((64,), 3.0), torch.linspace(0.5, 2, 128))
        after = pretrain.stages(network, images)
    torch.testing.assert_close(after[0], before[0] * 3)
    torch.testing.assert_close(after[1], before[1] * torch.linspace(0.5, 2, 128)[:, None, None])


def test_the_shipped_weights_are_the_whole_network_in_float16_and_small() -> None:
    tensors = load_file(WEIGHTS)
    SmallResNet().load_state_dict(tensors, strict=True)
    assert {
        tensor.dtype for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")
    } == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert WEIGHTS.stat().st_size <= 2_000_000


def test_the_shipped_weights_say_where_they_are_from() -> None:
    with safe_open(WEIGHTS, framework="pt") as file:
        origin = json.loads(file.metadata()["origin"])
    assert origin["script"] == "scripts/pretrain_builtin.py"
    assert (REPOSITORY / origin["script"]).is_file()
    assert origin.items() >= asdict(pretrain.Training()).items()


def test_equal_trainings_give_equal_bytes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SmallResNet()
    for name in ("one", "two"):
        pretrain.write(network, pretrain.Training(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
