"""The rotation leaves distances alone and spreads what lies in few components."""

import pytest
import torch

from apc_bench.bank.rotation import Rotation

CPU = torch.device("cpu")


@pytest.mark.parametrize("dimension", [1, 2, 3, 60, 96, 127, 600, 1024, 1536, 8192])
def test_distances_stay_and_the_same_dimension_turns_alike(dimension):
    generator = torch.Generator().manual_seed(dimension)
    vectors = torch.randn(9, dimension, generator=generator)
    turned = Rotation(dimension, CPU)(vectors)
    assert turned.shape == vectors.shape
    torch.testing.assert_close(
        torch.cdist(turned.double(), turned.double()),
        torch.cdist(vectors.double(), vectors.double()),
        rtol=1e-4,
        atol=1e-4,
    )
    assert torch.equal(turned, Rotation(dimension, CPU)(vectors))


@pytest.mark.parametrize("dimension", [96, 1024, 1536])
def test_one_large_component_becomes_many_small_ones(dimension):
    axes = torch.eye(dimension)
    turned = Rotation(dimension, CPU)(axes)
    assert turned.abs().amax() < 2 / dimension**0.5
    torch.testing.assert_close(turned @ turned.T, axes, atol=1e-5, rtol=0)
