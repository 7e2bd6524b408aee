"""PRNet's blocks, each alone and against a plain computation; and that the whole learns, repeats
itself and obeys its switches.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.cluster.vq import kmeans2
from sklearn.metrics import roc_auc_score

from apc_bench.errors import DataError, UsageError
from apc_bench.networks.backbones import IMAGENET, normalise
from apc_bench.networks.batches import TrainingTensors
from apc_bench.networks.generated import (
    AREA,
    generate,
    noise_shape,
    procedural_texture,
    read_textures,
)
from apc_bench.networks.prnet import Fusion, MultiSizeAttention, PRNet, attend
from apc_bench.networks.prnet_training import prnet_loss, train_prnet
from apc_bench.networks.prototypes import prototypes, residual
from apc_bench.settings.detectors import PRNetSettings

CHANNELS = {"stem": 8, "layer1": 8, "layer2": 16, "layer3": 32}
SIDES = {"layer1": 16, "layer2": 8, "layer3": 4}
SWITCHED_OFF = {"residuals": False, "attention": False, "fusion": False}


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors gain nothing from a second thread, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stages(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = seeded(seed)
    return {
        layer: torch.rand((count, CHANNELS[layer], side, side), generator=generator)
        for layer, side in SIDES.items()
    }


def test_prototypes_are_the_centres_of_well_separated_clusters():
    centres = torch.randn((4, 3, 5, 5), generator=seeded()) * 10
    maps = torch.cat(
        [centre + 0.01 * torch.randn((6, 3, 5, 5), generator=seeded(1)) for centre in centres]
    )
    found = prototypes(maps, 4 / 24, seed=0)
    assert len(found) == 4
    wanted = maps.reshape(4, 6, 3, 5, 5).mean(dim=1)
    distance = torch.cdist(found.flatten(1), wanted.flatten(1))
    assert torch.equal(distance.argmin(dim=1).sort().values, torch.arange(4))
    assert distance.min(dim=1).values.max() < 1e-3


def test_clustering_in_the_samples_own_span_is_k_means_on_the_maps():
    """The within-cluster sum of squares is as good as that of SciPy's k-means on the flattened
    maps, over several starts.
    """
    maps = torch.randn((30, 2, 4, 4), generator=seeded(3))

    def spread(centres: torch.Tensor) -> float:
        return float(
            torch.cdist(maps.flatten(1), centres.flatten(1)).min(dim=1).values.square().sum()
        )

    ours = min(spread(prototypes(maps, 0.2, seed=seed)) for seed in range(10))
    flat = maps.flatten(1).numpy()
    theirs = min(
        spread(torch.from_numpy(kmeans2(flat, 6, iter=30, minit="++", seed=seed)[0]))
        for seed in range(10)
    )
    assert ours <= 1.02 * theirs


@pytest.mark.parametrize(
    ("count", "share", "wanted"), [(10, 0.1, 1), (25, 0.1, 2), (3, 0.1, 1), (4, 1.0, 4)]
)
def test_there_are_as_many_prototypes_as_the_share_says(count, share, wanted):
    assert prototypes(torch.randn((count, 2, 3, 3), generator=seeded()), share, seed=1).shape == (
        wanted,
        2,
        3,
        3,
    )


def test_one_prototype_is_the_mean_map():
    maps = torch.randn((5, 2, 3, 3), generator=seeded())
    assert torch.allclose(prototypes(maps, 0.2, seed=0)[0], maps.mean(dim=0))


def test_the_residual_is_the_squared_difference_to_the_nearest_prototype():
    maps, centres = (
        torch.randn((6, 2, 3, 3), generator=seeded()),
        torch.randn((4, 2, 3, 3), generator=seeded(1)),
    )
    for one, found in zip(maps, residual(maps, centres), strict=True):
        nearest = min(centres, key=lambda centre: float((one - centre).square().sum()))
        assert torch.allclose(found, (one - nearest).square())


@pytest.mark.parametrize("tokens", [1, 2, 4, 8])
@pytest.mark.parametrize("side", [3, 6, 8])
def test_attention_is_softmax_over_patches(tokens, side):
    queries, keys, values = (
        torch.randn((1, 2, side, side), generator=seeded(seed)) for seed in range(3)
    )
    each = min(tokens, side)
    tall = -(-side // each)

    def patches(maps):
        padded = np.zeros((2, each * tall, each * tall))
        padded[:, :side, :side] = maps[0].numpy()
        return [
            padded[:, r * tall : (r + 1) * tall, c * tall : (c + 1) * tall].ravel()
            for r in range(each)
            for c in range(each)
        ]

    q, k, v = (np.array(patches(maps)) for maps in (queries, keys, values))
    weight = np.exp(q @ k.T / np.sqrt(q.shape[1]))
    mixed = (weight / weight.sum(axis=1, keepdims=True)) @ v
    wanted = np.zeros((2, each * tall, each * tall))
    for index, patch in enumerate(mixed):
        r, c = divmod(index, each)
        wanted[:, r * tall : (r + 1) * tall, c * tall : (c + 1) * tall] = patch.reshape(
            2, tall, tall
        )
    assert np.allclose(
        attend(queries, keys, values, tokens=tokens)[0].numpy(), wanted[:, :side, :side], atol=1e-5
    )


def awake(module: torch.nn.Module) -> torch.nn.Module:
    """With what starts at zero switched on, as after some training."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(part.weight)
    return module.eval()


def test_fusion_starts_as_nothing_and_is_learned():
    maps = list(stages(1).values())
    fusion = Fusion([8, 16, 32])
    assert all(torch.equal(before, after) for before, after in zip(maps, fusion(maps), strict=True))
    sum(one.square().sum() for one in fusion(maps)).backward()
    assert all(
        part.weight.grad.abs().sum() > 0
        for part in fusion.modules()
        if isinstance(part, torch.nn.BatchNorm2d) and not part.weight.any()
    )


def test_attention_reaches_across_the_picture_and_keeps_the_shape():
    block = awake(MultiSizeAttention(8))
    maps = torch.randn((2, 8, 7, 7), generator=seeded())
    changed = maps.clone()
    changed[:, :, 0, 0] += 5
    assert block(maps).shape == maps.shape
    assert not torch.allclose(block(maps)[:, :, 6, 6], block(changed)[:, :, 6, 6])


def test_fusion_lets_every_stage_see_every_other():
    fusion = awake(Fusion([8, 16, 32]))
    maps = list(stages(1).values())
    plain = fusion(maps)
    assert [one.shape for one in plain] == [one.shape for one in maps]
    for source in range(3):
        changed = [one + (index == source) for index, one in enumerate(maps)]
        assert all(
            not torch.allclose(before, after)
            for before, after in zip(plain, fusion(changed), strict=True)
        )


@pytest.mark.parametrize(
    "switches", [{}, {"residuals": False}, {"attention": False}, {"fusion": False}, SWITCHED_OFF]
)
def test_the_network_gives_a_logit_for_each_pixel_whatever_is_switched_off(switches):
    settings = PRNetSettings(**switches)
    centres = {layer: one[:2] for layer, one in stages(4).items()}
    network = PRNet(CHANNELS, centres, settings, deepest="layer3").eval()
    assert network(stages(3), (64, 64)).shape == (3, 64, 64)


def test_without_residuals_the_prototypes_say_nothing():
    for residuals in (False, True):
        torch.manual_seed(0)
        network = PRNet(
            CHANNELS,
            {layer: one[:2] for layer, one in stages(4).items()},
            PRNetSettings(residuals=residuals),
            deepest="layer3",
        ).eval()
        before = network(stages(2), (32, 32))
        for layer in SIDES:
            network.get_buffer(f"centres_{layer}").add_(1)
        assert torch.equal(before, network(stages(2), (32, 32))) is not residuals


def test_a_backbone_with_layer4_starts_its_decoder_there():
    network = PRNet(
        {**CHANNELS, "layer4": 64},
        {layer: one[:2] for layer, one in stages(4).items()},
        PRNetSettings(),
        deepest="layer4",
    ).eval()
    maps = {**stages(1), "layer4": torch.rand((1, 64, 2, 2), generator=seeded())}
    assert not torch.equal(
        network(maps, (64, 64)), network({**maps, "layer4": maps["layer4"] + 1}, (64, 64))
    )


def test_the_loss_is_smooth_l1_plus_five_times_focal():
    logits, masks = (
        torch.randn((2, 4, 4), generator=seeded()),
        (torch.rand((2, 4, 4), generator=seeded(1)) > 0.5).float(),
    )
    p = torch.sigmoid(logits)
    smooth = (0.5 * (p - masks) ** 2).mean()
    right = torch.where(masks > 0, p, 1 - p)
    focal = (-0.5 * (1 - right) ** 4 * right.log()).mean()
    assert prnet_loss(logits, masks, PRNetSettings()).item() == pytest.approx(
        float(smooth + 5 * focal), rel=1e-5
    )


def test_a_generated_anomaly_changes_its_mask_and_nothing_else():
    images = 255 * torch.rand((8, 3, 48, 48), generator=seeded())
    changed, masks = generate(images, seeded(1))
    inside = masks[:, None].bool().expand_as(images)
    assert torch.equal(changed[~inside], images[~inside])
    assert ((changed != images) & inside).flatten(1).any(dim=1).all()
    assert changed.min() >= 0 and changed.max() <= 255
    again, _ = generate(images, seeded(1))
    assert torch.equal(changed, again)


def test_shapes_cover_what_they_say_and_textures_are_colours():
    shares = [noise_shape(64, seeded(seed)).mean().item() for seed in range(40)]
    assert AREA[0] * 0.9 <= min(shares) and max(shares) <= AREA[1] * 1.1
    assert max(shares) > 4 * min(shares)
    for seed in range(9):
        texture = procedural_texture(32, seeded(seed))
        assert texture.shape == (3, 32, 32) and texture.min() >= 0 and texture.max() <= 255


def test_textures_come_from_a_folder_and_a_bad_one_is_named(tmp_path):
    with pytest.raises(UsageError, match="no image in"):
        read_textures(tmp_path / "none", 16)
    Image.new("RGB", (20, 30), (10, 200, 30)).save(tmp_path / "a.png")
    texture = read_textures(tmp_path, 16)
    assert torch.allclose(texture[0, :, 8, 8], torch.tensor([10.0, 200.0, 30.0]))
    changed, masks = generate(torch.zeros(6, 3, 16, 16), seeded(2), texture)
    painted = changed.permute(0, 2, 3, 1)[(masks > 0) & (changed.amax(dim=1) > 0)]
    assert len(painted) and torch.allclose(
        painted / painted.amax(dim=1, keepdim=True), torch.tensor([0.05, 1.0, 0.15]), atol=1e-4
    )
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        read_textures(tmp_path, 16)


class Plain(torch.nn.Module):
    """A backbone of averages: its stages are the picture at three resolutions, above zero as those
    behind a ReLU are.
    """

    stages = decoded = ("stem", "layer1", "layer2", "layer3")
    channels, statistics = dict.fromkeys(CHANNELS, 3), IMAGENET

    def forward(self, images, last):
        return {
            layer: 3 + torch.nn.functional.avg_pool2d(images, factor)
            for layer, factor in (("layer1", 4), ("layer2", 8), ("layer3", 16))
        }


@pytest.fixture(scope="module")
def pictures() -> TrainingTensors:
    """Grey noise; the anomalous ones with a bright square."""
    generator = seeded(5)
    normal = torch.randint(80, 120, (12, 3, 32, 32), generator=generator).to(torch.uint8)
    anomalous, masks = normal[:4].clone(), torch.zeros(4, 32, 32, dtype=torch.bool)
    for index in range(4):
        masks[index, 8 + index : 16 + index, 8:16] = True
    anomalous[masks[:, None].expand_as(anomalous)] = 250
    return TrainingTensors(normal, anomalous, masks, torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize("switches", [{}, SWITCHED_OFF])
def test_training_finds_what_it_was_shown_and_repeats_itself(pictures, switches):
    settings = PRNetSettings(steps=100, batch=8, rate=3e-3, **switches)
    network, curves = train_prnet(Plain(), pictures, settings, seed=3, mixed_precision=False)
    again, others = train_prnet(Plain(), pictures, settings, seed=3, mixed_precision=False)
    assert all(
        torch.equal(one, two)
        for one, two in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert [line.loss for line in curves] == [line.loss for line in others]
    assert np.mean([line.loss for line in curves[-5:]]) < 0.5 * np.mean(
        [line.loss for line in curves[:3]]
    )
    logits = network(Plain()(normalise(pictures.anomalous), last="layer3"), (32, 32))
    assert roc_auc_score(pictures.masks.flatten().numpy(), logits.detach().flatten().numpy()) > 0.9


def test_training_goes_on_without_a_single_mask(pictures):
    unknown = pictures.__class__(
        pictures.normal, pictures.anomalous, pictures.masks, torch.zeros(4, dtype=torch.bool)
    )
    _, curves = train_prnet(
        Plain(), unknown, PRNetSettings(steps=2, batch=4), seed=0, mixed_precision=False
    )
    assert len(curves) == 2
