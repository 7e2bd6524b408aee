"""Crops: where they lie, and what they are called."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.networks.batches import Choice, TrainingTensors, draw_choices, make_batch
from apc_bench.networks.crops import crop_side
from apc_bench.settings.detectors import ApcSettings

PLAIN = {"jitter": 0, "rotation": 0, "flip": False, "scale": 0, "steps": 12, "batch": 6}
SIZE = 96


def tensors(masked: bool = True) -> TrainingTensors:
    """Normal images are dark, drawn ones too but for a white anomaly of 6 × 9 pixels each."""
    masks = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    for row, (top, left) in enumerate([(2, 80), (40, 40), (88, 3)]):
        masks[row, top : top + 6, left : left + 9] = True
    anomalous = (masks[:, None] * 255).to(torch.uint8).repeat(1, 3, 1, 1)
    normal = torch.zeros(5, 3, SIZE, SIZE, dtype=torch.uint8)
    return TrainingTensors(normal, anomalous, masks, torch.full((3,), masked))


def batches(given: TrainingTensors, **changed: object):
    chosen = ApcSettings.model_validate({**PLAIN, **changed})
    side = crop_side(chosen, SIZE)
    choices = draw_choices(given, chosen, seed=1)
    for step in range(chosen.steps):
        yield make_batch(given, Choice(*(part[step] for part in choices)), side)


@given(st.integers(16, 600), st.floats(0.01, 1))
def test_a_crop_is_no_larger_than_its_image_and_fits_the_stride(size, share):
    side = crop_side(ApcSettings(crop=share), size)
    assert side == size or (side % 32 == 0 and side < size)
    assert size < 64 or abs(side - share * size) <= max(32, 16)


def test_whole_images_stay_whole():
    assert crop_side(ApcSettings(crop=None), 224) == 224
    for images, _, anomalous, _ in batches(tensors(), crop=None, shift=0):
        assert images.shape[-1] == SIZE
        assert anomalous.tolist() == [True] * 3 + [False] * 3


def test_crops_on_the_defect_show_it():
    seen = 0
    for images, masks, anomalous, masked in batches(tensors(), crop=0.4, crop_on_defect=1):
        assert images.shape[-2:] == masks.shape[-2:] == (32, 32)
        assert masks[:3].flatten(1).any(1).all()
        assert not masks[3:].any()
        assert masked.all()
        white = images[:, 0] == images.amax()
        assert torch.equal(white & anomalous[:, None, None], masks.bool() & white)
        seen += int(anomalous[:3].sum())
    assert seen > 30, "nearly all show more than a corner of it"


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 0.9), st.floats(0, 1))
def test_a_crop_is_called_what_it_holds(share, on_defect):
    for _, masks, anomalous, _ in batches(tensors(), crop=share, crop_on_defect=on_defect):
        holds = masks.flatten(1).sum(1) >= 4
        assert torch.equal(anomalous, holds)


def test_crops_lie_anywhere_in_an_image():
    """Columns of a ramp tell where a crop of a normal image lies; none reaches over the border."""
    given = tensors()
    ramp = torch.arange(SIZE, dtype=torch.uint8).expand(5, 3, SIZE, SIZE).contiguous()
    given = TrainingTensors(ramp, given.anomalous, given.masks, given.masked)
    lefts = []
    for images, *_ in batches(given, crop=0.4, steps=60):
        columns = images[3:, 0, 0] * 0.229 * 255 + 0.485 * 255
        torch.testing.assert_close(columns.diff(dim=1), torch.ones(3, 31), atol=1e-3, rtol=0)
        lefts += columns[:, 0].tolist()
    assert min(lefts) > -0.01
    assert max(lefts) < 64.01
    assert min(lefts) < 8
    assert max(lefts) > 56
    assert sum(lefts) / len(lefts) == pytest.approx(32, abs=6)


def test_a_drawn_image_without_a_mask_is_shown_whole_and_stays_anomalous():
    for images, _, anomalous, masked in batches(tensors(masked=False), crop=0.4):
        assert anomalous.tolist() == [True] * 3 + [False] * 3
        assert masked.tolist() == [False] * 3 + [True] * 3
        bright = (images[:3, 0] > images[:3, 0].amin() + 0.2).flatten(1)
        assert bright.any(1).all(), "the anomaly is in the picture, three times smaller"
