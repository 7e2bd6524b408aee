"""Real MVTec images, from the file to the score, as the reference code has them: its transforms, its
order of features, its distance.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectors.plain_patchcore import plain_patches
from PIL import Image
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, PILToTensor, Resize, ToDtype

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.protocol import Images, Training
from apc_bench.networks.loading import load_backbone
from apc_bench.settings.sweep import Method

SHARED = Path(__file__).resolve().parents[3] / "shared"
GOOD, BROKEN = (SHARED / "data" / "mvtec_ad" / "screw" / part for part in ("train", "test"))
WEIGHTS = SHARED / "weights" / "resnet18_layers123_folded.pth"
SIDE = 96

pytestmark = pytest.mark.skipif(
    not (GOOD.is_dir() and WEIGHTS.is_file()),
    reason="the real images and weights beside the repository are missing",
)


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return [*sorted(GOOD.rglob("*.png"))[:3], *sorted(BROKEN.rglob("*.png"))[::60]]


def reference_input(path: Path) -> torch.Tensor:
    """patchcore-inspection's transforms, with its 256 and 224 scaled to SIDE."""
    transforms = Compose(
        [
            Resize(round(SIDE * 256 / 224)),
            CenterCrop(SIDE),
            PILToTensor(),
            ToDtype(torch.float32, scale=True),
            Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    picture: torch.Tensor = transforms(Image.open(path).convert("RGB"))
    return picture


def test_scores_of_real_images_are_those_of_the_reference_s_algorithm(files):
    backbone, _ = load_backbone("resnet18", WEIGHTS)
    with torch.inference_mode():
        stages = backbone.eval()(
            torch.stack([reference_input(path) for path in files]), last="layer3"
        )
    patches = plain_patches([stages["layer2"], stages["layer3"]], 1024, 1024).double()
    bank, tested = patches[:3].flatten(0, 1), patches[3:]
    wanted = torch.cdist(tested, bank).square().amin(2)

    geometry = Geometry(SIDE, "crop", "bilinear")
    array = np.stack([geometry.apply(read_image(path)).transpose(2, 0, 1) for path in files])
    names = tuple(str(path) for path in files)
    normal, others = (
        Images(array, np.arange(*rows), names[slice(*rows)], names[slice(*rows)])
        for rows in ((0, 3), (3, len(files)))
    )
    method = Method(backbone="resnet18", settings={"coreset_ratio": 1.0})
    given = Training(
        normal=normal,
        learnable=normal,
        calibration=None,
        anomalous=normal.at([]),
        masks=np.zeros((0, SIDE, SIDE), bool),
        masked=np.zeros(0, bool),
        seed=0,
        device="cpu",
        mixed_precision=False,
        memo=lambda key, shape, fill: None,
    )
    scored = PatchCore(method, WEIGHTS, "0" * 64).fit(given, None).score(others)
    np.testing.assert_allclose(scored.maps.reshape(len(others), -1), wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(scored.scores, wanted.amax(1), rtol=1e-4)
