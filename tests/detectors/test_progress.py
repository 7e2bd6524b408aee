"""What detectors tell of how far they are: it rises to the total, and changes no number."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from apc_bench.datasets.decoding import Decoded
from apc_bench.detectors.registry import detector_class
from apc_bench.networks.progress import untold
from apc_bench.runner.examples import Examples
from apc_bench.settings.sweep import Method

WEIGHTS = Path(str(files("apc_bench.networks") / "builtin.safetensors"))
BANK = {"pretrain_dim": 16, "target_dim": 16}
SYSTEMS = {
    "patchcore": (
        BANK,
        {
            "features of the category",
            "features",
            "coreset",
            "holes to calibrate with",
            "search",
            "calibration",
        },
    ),
    "apc": (
        {**BANK, "steps": 3, "batch": 4},
        {
            "fine-tuning",
            "features",
            "coreset",
            "holes to calibrate with",
            "search",
            "calibration",
        },
    ),
    "apc+": (
        {
            **BANK,
            "steps": 3,
            "batch": 4,
            "classifier_steps": 5,
            "weight_interpolation": 0.5,
            "frozen_bank": 1,
            "segmentation": 1,
        },
        {
            "features of the category",
            "patches to learn from",
            "patch classifier",
            "fine-tuning",
            "features",
            "coreset",
            "holes to calibrate with",
            "search",
            "patch classifier's maps",
            "segmentation maps",
        },
    ),
    "prnet": (
        {"steps": 3, "batch": 4},
        {"features", "training", "scoring", "calibration"},
    ),
}


def examples() -> Examples:
    """72 images: 36 normal ones, 18 to calibrate with and 18 anomalous ones with a mask."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (72, 3, 32, 32), np.uint8)
    masks = np.zeros((72, 32, 32), bool)
    masks[54:, 8:16, 8:16] = True
    state = np.array(["normal"] * 54 + ["present"] * 18)
    return Examples(Decoded(images, masks, np.zeros((72, 4), np.int64), state))


def worked(system: str, tmp_path: Path, progress=untold):
    """The scores of a system that was trained and fitted, its weights and the random numbers'
    state.
    """
    torch.manual_seed(5)
    kept: dict[str, np.ndarray] = {}

    def memo(key, shape, fill):
        if key not in kept:
            kept[key] = np.zeros(shape, np.float32)
            fill(kept[key])
        return kept[key]

    method = Method(detector=system, backbone="builtin", settings=SYSTEMS[system][0])
    detector = detector_class(system)(method, WEIGHTS, "0" * 64)
    tuned, content = method.settings.fine_tuned, None
    sweep = SimpleNamespace(device="cpu", precision="float32")
    data = examples().training(36, sweep, memo, fine_tuned=tuned)
    data = replace(data, progress=progress)
    if tuned:
        content = tmp_path / "trained.safetensors"
        content.write_bytes(detector.train(data).weights)
        detector = detector_class(system)(method, WEIGHTS, "0" * 64)
    fitted = detector.fit(data, content)
    scored = fitted.score(examples().images)
    _, calibration = fitted.calibrate()
    return scored, calibration, content and content.read_bytes(), torch.get_rng_state()


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_stage_rises_to_its_total_and_no_number_changes(system, tmp_path):
    told: list[tuple[str, int, int, float | None]] = []

    def progress(stage, done, total, loss=None):
        told.append((stage, done, total, None if loss is None else float(loss)))

    scored, calibration, weights, state = worked(system, tmp_path, progress)
    assert {stage for stage, *_ in told} == SYSTEMS[system][1]
    before = ("", 0, 0)
    for stage, done, total, _ in told:
        assert 0 < done <= total
        if before[1] < before[2]:
            assert (stage, total) == (before[0], before[2]), f"{before} was not ended"
            assert done >= before[1]
        before = (stage, done, total)
    assert before[1] == before[2]

    plain, plain_calibration, plain_weights, plain_state = worked(system, tmp_path)
    assert np.array_equal(scored.maps, plain.maps)
    assert np.array_equal(scored.scores, plain.scores)
    assert np.array_equal(calibration.scores, plain_calibration.scores)
    assert weights == plain_weights
    assert torch.equal(state, plain_state)


@pytest.mark.parametrize(("system", "stage"), [("apc", "fine-tuning"), ("prnet", "training")])
def test_a_training_tells_each_step_with_the_loss_of_its_curve(system, stage, tmp_path):
    told = []
    method = Method(detector=system, backbone="builtin", settings=SYSTEMS[system][0])
    sweep = SimpleNamespace(device="cpu", precision="float32")
    data = examples().training(36, sweep, lambda *_: None, fine_tuned=True)

    def progress(name, done, total, loss=None):
        if name == stage:
            told.append((done, total, float(loss)))

    trained = detector_class(system)(method, WEIGHTS, "0" * 64).train(
        replace(data, progress=progress)
    )
    assert told == [(row["step"] + 1, 3, row["loss"]) for row in trained.curves]
