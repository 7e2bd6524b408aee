"""On a GPU: the same numbers as on a CPU where they are to be the same, the same bits every time,
and recording changes nothing.
"""

import pytest
import torch

from apc_bench.bank.coreset import greedy_coreset
from apc_bench.bank.memory_bank import MemoryBank
from apc_bench.bank.patches import patch_features
from apc_bench.networks import replay
from apc_bench.networks.backbones import Backbone, ResidualBackbone, normalise
from apc_bench.networks.batches import TrainingTensors
from apc_bench.networks.finetune import TrainingStep, finetune
from apc_bench.networks.small_resnet import SmallResNet
from apc_bench.settings.detectors import ApcSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")


@pytest.fixture(autouse=True)
def _as_a_step_sets_it(monkeypatch):
    """The switches of process.set_determinism, and back."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.use_deterministic_algorithms(False)


def vectors(
    count: int, dimensions: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)).to(dtype)


def backbone() -> Backbone:
    torch.manual_seed(0)
    return ResidualBackbone("builtin", SmallResNet()).eval()


def tuned(
    device: str, *, mixed_precision: bool = False, **settings: object
) -> tuple[Backbone, list[TrainingStep]]:
    generator = torch.Generator().manual_seed(1)
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[:, 4:16, 4:16] = True
    images = [
        torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=generator).to(device)
        for count in (6, 3)
    ]
    tensors = TrainingTensors(
        *images, masks.to(device), torch.tensor([True, True, False]).to(device)
    )
    network = backbone().to(device)
    return (
        network,
        finetune(
            network,
            tensors,
            ApcSettings(batch=4, **settings),
            seed=5,
            mixed_precision=mixed_precision,
        )[1],
    )


def test_the_coreset_is_that_of_the_cpu():
    points = vectors(20_000, 48, torch.float64)
    assert torch.equal(
        greedy_coreset(points.cuda(), 2_000, seed=0), greedy_coreset(points, 2_000, seed=0)
    )


def test_the_nearest_are_those_of_the_cpu():
    bank, queries = vectors(3_000, 256), vectors(5_000, 256, seed=1)
    places = (
        torch.zeros(len(bank), dtype=torch.int32),
        torch.zeros(len(bank), dtype=torch.int16),
        torch.zeros(len(bank), dtype=torch.int16),
    )
    groups = torch.arange(len(bank), dtype=torch.int32) % 7
    found = {
        device: (
            MemoryBank(*(part.to(device) for part in (bank, *places, groups))).nearest(
                queries.to(device), exclude_group=3, k=5
            )
        )
        for device in ("cpu", "cuda")
    }
    assert torch.equal(found["cuda"].index.cpu(), found["cpu"].index)
    torch.testing.assert_close(
        found["cuda"].distance.cpu(), found["cpu"].distance, rtol=1e-6, atol=0
    )


def test_patch_features_are_those_of_the_cpu():
    images = torch.randint(
        0, 256, (4, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    found = []
    for device in ("cpu", "cuda"):
        network = backbone().to(device)
        with torch.inference_mode():
            stages = network(normalise(images.to(device)), last="layer3")
            maps = [stages["layer2"], stages["layer3"]]
            found.append(
                patch_features(maps, neighbourhood=3, pretrain_dim=128, target_dim=128).cpu()
            )
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_recorded_training_gives_the_bits_of_one_that_is_not(monkeypatch, mixed_precision):
    recorded, curves = tuned("cuda", steps=12, mixed_precision=mixed_precision)
    again, _ = tuned("cuda", steps=12, mixed_precision=mixed_precision)
    monkeypatch.setattr(replay, "EAGER", 12)
    eager, expected = tuned("cuda", steps=12, mixed_precision=mixed_precision)
    for name, tensor in recorded.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), f"{name}: two runs differ"
        assert torch.equal(tensor, eager.state_dict()[name]), f"{name}: recording changed it"
    assert [step.loss for step in curves] == [step.loss for step in expected]
    assert [step.rate for step in curves] == [step.rate for step in expected]


def test_training_goes_as_on_the_cpu():
    _, on_gpu = tuned("cuda", steps=8)
    _, on_cpu = tuned("cpu", steps=8)
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert one.rate == other.rate
        assert one.loss == pytest.approx(other.loss, rel=2e-3)
        assert one.segmentation == pytest.approx(other.segmentation, rel=2e-3)


def test_every_switch_of_training_can_be_recorded():
    for settings in (
        {"flip": True, "segmentation_loss": "focal"},
        {"jitter": 0, "shift": 0, "rotation": 0},
        {"batch_norm": "trainable"},
    ):
        _, curves = tuned("cuda", steps=6, mixed_precision=True, **settings)
        assert len({step.loss for step in curves}) == 6


def test_a_training_that_diverges_is_told():
    from apc_bench.errors import TrainingError

    with pytest.raises(TrainingError, match="lower extractor_learning_rate"):
        tuned("cuda", steps=30, extractor_learning_rate=1e30, heads_learning_rate=1e30)
