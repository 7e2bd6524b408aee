"""What a step gives its detector to learn from."""

from support import apc_bench, make_category

from apc_bench.detectors.apc import Apc
from apc_bench.detectors.protocol import Training
from apc_bench.errors import TrainingError

JOB = """
image_size: 32
reserve: 2
shots: [2]
seeds: [0]
methods:
  apc: {detector: apc, backbone: builtin, settings: {pretrain_dim: 16, target_dim: 16, steps: 1}}
"""


def test_a_training_never_sees_the_images_that_calibrate(tmp_path, monkeypatch):
    given: list[Training] = []

    def train(self: Apc, data: Training) -> None:
        given.append(data)
        raise TrainingError("seen enough")

    monkeypatch.setattr(Apc, "train", train)
    make_category(tmp_path / "data", train=50, good=4, defects=5)
    (tmp_path / "job.yaml").write_text(JOB)
    places = ("--data", tmp_path / "data", "--run", tmp_path / "run", "--cache", tmp_path / "cache")
    options = ("--no-page", "--job", tmp_path / "job.yaml", "--executor", "serial")
    apc_bench("sweep", *options, *places, code=1)
    learnable, held_out = set(given[0].learnable.names), set(given[0].calibration.names)
    assert len(held_out) == 20
    assert learnable | held_out == set(given[0].normal.names)
    assert not learnable & held_out
    assert len(given[0].normal) == 50
