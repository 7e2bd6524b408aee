"""PatchCore as a whole against the reference's algorithm written out plainly: same features, same
picks, same scores.
"""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from detectors.plain_patchcore import plain_patches
from plain_holes import plainly
from safetensors.torch import load_file

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.protocol import Images, Training
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.settings.sweep import Method

WEIGHTS = Path(str(files("apc_bench.networks") / "builtin.safetensors"))
SETTINGS = {
    "pretrain_dim": 96,
    "target_dim": 80,
    "projection_dim": None,
    "starting_points": 3,
    "coreset_ratio": 0.15,
}


def pictures(count: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 3, size, size), np.uint8)


def images(array: np.ndarray, rows: range, groups: list[str] | None = None) -> Images:
    names = tuple(f"{row}.png" for row in rows)
    return Images(array, np.array(rows, np.int64), names, tuple(groups) if groups else names)


def training(
    array: np.ndarray,
    rows: range,
    groups: list[str] | None = None,
    memo=lambda key, shape, fill: None,
) -> Training:
    none = images(array, range(0))
    size = array.shape[-1]
    normal = images(array, rows, groups)
    return Training(
        normal,
        normal,
        None,
        none,
        np.zeros((0, size, size), bool),
        np.zeros(0, bool),
        7,
        "cpu",
        False,
        memo,
    )


def fitted(array: np.ndarray, rows: range, groups: list[str] | None = None, **settings: object):
    method = Method(backbone="builtin", settings={**SETTINGS, **settings})
    return PatchCore(method, WEIGHTS, "0" * 64).fit(training(array, rows, groups), None)


def plain_features(array: np.ndarray) -> torch.Tensor:
    network = SmallResNet().eval()
    network.load_state_dict(
        {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in load_file(WEIGHTS).items()
        }
    )
    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    )
    with torch.inference_mode():
        x = (torch.from_numpy(array).float() / 255 - mean) / std
        x = network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(x)))))
        second = network.layer2(x)
        third = network.layer3(second)
        return plain_patches([second, third], SETTINGS["pretrain_dim"], SETTINGS["target_dim"])


def test_features_bank_and_scores_are_those_of_the_plain_algorithm():
    array = pictures(9)
    detector = fitted(array, range(6))
    plain = plain_features(array)
    mine = detector.source(images(array, range(9)), slice(0, 9))
    torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)

    patches = plain[:6].flatten(0, 1)
    picks = greedy_coreset(
        patches, int(len(patches) * 0.15), projection_dim=None, starting_points=3, seed=7
    )
    each = plain.shape[1]
    assert detector.bank.image.tolist() == (picks // each).tolist()
    columns = detector.source.grid[1]
    assert detector.bank.row.tolist() == (picks % each // columns).tolist()
    assert detector.bank.column.tolist() == (picks % each % columns).tolist()

    bank = patches[picks]
    scored = detector.score(images(array, range(6, 9)))
    for position in range(3):
        distances = ((plain[6 + position][:, None] - bank[None]) ** 2).sum(-1)
        nearest, index = distances.min(dim=1)
        np.testing.assert_allclose(
            scored.maps[position].ravel(), nearest.numpy(), rtol=1e-3, atol=1e-4
        )
        worst = int(nearest.argmax())
        assert scored.scores[position] == pytest.approx(float(nearest.max()), rel=1e-3)
        assert scored.worst[position].tolist() == [worst // columns, worst % columns]
        pick = int(picks[index[worst]])
        place = [pick // each, pick % each // columns, pick % each % columns]
        assert scored.nearest[position].tolist() == place


def test_euclidean_distance_is_the_root_and_keeps_the_order():
    array = pictures(9)
    squared = fitted(array, range(6)).score(images(array, range(6, 9)))
    plain = fitted(array, range(6), distance="euclidean").score(images(array, range(6, 9)))
    np.testing.assert_allclose(plain.maps**2, squared.maps, rtol=1e-4, atol=1e-5)
    assert np.argsort(plain.scores).tolist() == np.argsort(squared.scores).tolist()


def test_calibration_leaves_the_image_s_whole_group_out_of_the_bank():
    array = pictures(6)
    array[1] = array[0]  # two photos of one part
    groups = ["a", "a", "b", "c", "d", "e"]
    detector = fitted(array, range(6), groups, coreset_ratio=1.0)
    calibration_images, scored = detector.calibrate()
    assert calibration_images.names == tuple(f"{row}.png" for row in range(6))
    plain = plain_features(array)
    for position in range(6):
        others = [row for row in range(6) if groups[row] != groups[position]]
        distances = (
            ((plain[position][:, None] - plain[others].flatten(0, 1)[None]) ** 2).sum(-1).amin(1)
        )
        assert scored.scores[position] == pytest.approx(float(distances.max()), rel=1e-3)
    assert scored.scores.min() > 0  # with its twin in the bank, the first would have scored 0


@pytest.mark.parametrize(
    "settings", [{}, {"distance": "euclidean", "reweight_neighbours": 3}], ids=["plain", "weighed"]
)
def test_images_that_calibrate_have_the_scores_of_any_others(settings):
    array = pictures(14)
    groups = [*"abcdefgh", "h", "h", *"ijkl"]
    detector = fitted(array, range(14), groups, coreset_ratio=0.4, **settings)
    calibrated_with, calibration = detector.calibrate()
    scored = detector.score(calibrated_with)
    assert len(calibration.scores) == 14
    for name in ("scores", "worst", "nearest", "nearest_distance"):
        assert np.array_equal(getattr(calibration, name), getattr(scored, name)), name


def test_an_image_that_calibrates_is_compared_with_the_others_and_its_hole_is_closed():
    """Against all distances in float64, with the holes closed by the plain loop."""
    array = pictures(10)
    groups = [*"abcdefgh", "h", "h"]
    detector = fitted(array, range(10), groups, coreset_ratio=0.2, projection_dim=None)
    _, calibration = detector.calibrate()
    each = detector.source.grid[0] * detector.source.grid[1]
    points = detector.source(images(array, range(10)), slice(0, 10)).flatten(0, 1)
    bank = detector.bank
    row = bank.row.long() * detector.source.grid[1] + bank.column.long()
    chosen = bank.image.long() * each + row
    group = torch.tensor([sorted(set(groups)).index(name) for name in groups])
    group = group.repeat_interleave(each)
    holes = 0
    for position, name in enumerate(groups):
        own = sorted(set(groups)).index(name)
        added = plainly(points, chosen, group, own)
        holes += len(added)
        left = [*chosen[group[chosen] != own].tolist(), *added]
        patches = points[position * each : (position + 1) * each].double()
        distance = torch.cdist(patches, points[left].double()).square().amin(1)
        assert calibration.scores[position] == pytest.approx(float(distance.max()), rel=1e-4)
    assert holes > 10, "else nothing was tested"


def test_held_out_images_are_in_the_bank_and_calibrate_as_with_a_frozen_detector():
    array = pictures(12)
    groups = ["a", "b", "c", "d", "d", "e", "f", "g", "h"]
    given = training(array, range(9), groups)
    held_out = given.normal.at([3, 4, 7])
    others = given.normal.at([0, 1, 2, 5, 6, 8])
    method = Method(detector="apc", backbone="builtin", settings=SETTINGS)  # which holds some out

    def fit(data: Training):
        return PatchCore(method, WEIGHTS, "0" * 64).fit(data, None)

    mine, frozen = fit(replace(given, learnable=others, calibration=held_out)), fit(given)
    tested = images(array, range(9, 12))
    assert np.array_equal(mine.score(tested).scores, frozen.score(tested).scores)
    calibrated_with, calibration = mine.calibrate()
    assert calibrated_with.names == held_out.names
    _, all_of_them = frozen.calibrate()
    for name in ("scores", "worst", "nearest"):
        ours, theirs = getattr(calibration, name), getattr(all_of_them, name)
        assert np.array_equal(ours, theirs[[3, 4, 7]])
    learned_from, control = mine.control()
    assert learned_from.names == others.names
    for name in ("scores", "worst", "nearest", "nearest_distance"):
        theirs = getattr(all_of_them, name)[[0, 1, 2, 5, 6, 8]]
        assert np.array_equal(getattr(control, name), theirs), name
    for without in (frozen, fit(replace(given, calibration=given.normal.at([])))):
        assert len(without.control()[0]) == len(without.control()[1].scores) == 0
    apart = [given.normal.groups[image] for image in calibration.nearest[:, 0]]
    assert all(one != own for one, own in zip(apart, held_out.groups, strict=True))


def test_the_memo_changes_no_number():
    array = pictures(20)
    method = Method(backbone="builtin", settings=SETTINGS)
    kept: dict[str, np.ndarray] = {}

    def memo(key, shape, fill):
        if key not in kept:
            kept[key] = np.empty(shape, np.float32)
            fill(kept[key])
        return kept[key]

    rows = range(1, 18, 2)
    with_memo = PatchCore(method, WEIGHTS, "0" * 64).fit(training(array, rows, memo=memo), None)
    without = PatchCore(method, WEIGHTS, "0" * 64).fit(training(array, rows), None)
    assert len(kept) == 1
    tested = images(array, range(0, 20, 2))
    assert np.array_equal(with_memo.score(tested).maps, without.score(tested).maps)


def test_patches_max_and_bank_max_bound_the_bank():
    array = pictures(6)
    detector = fitted(array, range(6), patches_max=50, coreset_ratio=0.5)
    assert len(detector.bank.vectors) == 25
    assert len(fitted(array, range(6), bank_max=9).bank.vectors) == 9


def test_a_single_group_cannot_calibrate():
    array = pictures(2)
    calibration_images, scored = fitted(array, range(2), ["a", "a"]).calibrate()
    assert len(calibration_images) == len(scored.scores) == 0
