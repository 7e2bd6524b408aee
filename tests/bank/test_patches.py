"""Patch features are the reference's, computed in another order."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from apc_bench.bank.patches import patch_features


def reference(maps: list[Tensor], k: int, pretrain_dim: int, target_dim: int) -> Tensor:
    """patchcore-inspection's order, in float64: unfold, upsample the neighbourhoods, pool each map,
    stack, pool again.
    """
    images, _, height, width = maps[0].shape
    pooled = []
    for fmap in maps:
        _, channels, rows, columns = fmap.shape
        unfolded = F.unfold(fmap.double(), k, padding=(k - 1) // 2).reshape(
            images, channels * k * k, rows, columns
        )
        upsampled = F.interpolate(
            unfolded, size=(height, width), mode="bilinear", align_corners=False
        )
        vectors = upsampled.permute(0, 2, 3, 1).reshape(
            images * height * width, 1, channels * k * k
        )
        pooled.append(F.adaptive_avg_pool1d(vectors, pretrain_dim).squeeze(1))
    stacked = torch.stack(pooled, dim=1).reshape(images * height * width, 1, -1)
    return F.adaptive_avg_pool1d(stacked, target_dim).reshape(images, height * width, target_dim)


def maps_of(
    channels: list[int], grids: list[tuple[int, int]], seed: int = 0, images: int = 2
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, c, *grid, generator=generator).relu()
        for c, grid in zip(channels, grids, strict=True)
    ]


@pytest.mark.parametrize(
    "channels", [[512, 1024], [128, 256], [64, 128]], ids=["resnet50", "resnet18", "builtin"]
)
def test_the_networks_features_are_the_reference_s(channels):
    maps = maps_of(channels, [(6, 6), (3, 3)])
    found = patch_features(maps, neighbourhood=3, pretrain_dim=1024, target_dim=1024)
    torch.testing.assert_close(found.double(), reference(maps, 3, 1024, 1024), rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=3, max_size=3),
)
def test_any_channels_grids_and_dimensions_are_the_reference_s(
    channels, k, pretrain_dim, target_dim, grids
):
    maps = maps_of(channels, grids[: len(channels)])
    found = patch_features(maps, neighbourhood=k, pretrain_dim=pretrain_dim, target_dim=target_dim)
    torch.testing.assert_close(
        found.double(), reference(maps, k, pretrain_dim, target_dim), rtol=1e-5, atol=1e-6
    )


def test_positions_are_row_by_row_and_the_result_is_float32():
    fmap = torch.zeros(1, 1, 3, 4, dtype=torch.bfloat16)
    fmap[0, 0, 1, 2] = 5
    found = patch_features([fmap], neighbourhood=1, pretrain_dim=1, target_dim=1)
    assert found.dtype == torch.float32 and found.shape == (1, 12, 1)
    assert found.flatten().nonzero().tolist() == [[1 * 4 + 2]]


def test_an_image_has_the_same_features_alone_and_in_a_batch():
    maps = maps_of([8, 16], [(5, 7), (3, 4)], images=5)
    together = patch_features(maps, neighbourhood=3, pretrain_dim=32, target_dim=32)
    alone = patch_features(
        [fmap[3:4] for fmap in maps], neighbourhood=3, pretrain_dim=32, target_dim=32
    )
    torch.testing.assert_close(together[3:4], alone, rtol=1e-6, atol=1e-7)


def test_autocast_does_not_round_the_averages():
    maps = maps_of([8, 16], [(4, 4), (2, 2)])
    expected = patch_features(maps, neighbourhood=3, pretrain_dim=32, target_dim=32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(
            patch_features(maps, neighbourhood=3, pretrain_dim=32, target_dim=32), expected
        )


@pytest.mark.parametrize(
    ("maps", "k", "message"),
    [
        ([], 3, "at least one"),
        ([torch.zeros(1, 2, 3, 3)], 2, "odd"),
        ([torch.zeros(1, 2, 3, 3), torch.zeros(2, 2, 3, 3)], 3, "batch sizes"),
    ],
)
def test_what_cannot_be_pooled_is_refused(maps, k, message):
    with pytest.raises(ValueError, match=message):
        patch_features(maps, neighbourhood=k, pretrain_dim=4, target_dim=4)
