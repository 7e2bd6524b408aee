"""Memory banks as faiss indexes: read and searched with faiss alone they give the trial's distances
and the patches that these were measured to.
"""

import json
import pickle
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pytest
import torch
from detectors.plain_patchcore import plain_patches
from support import apc_bench

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.images import read_image
from apc_bench.export import bank
from apc_bench.networks.backbones import normalise
from apc_bench.networks.loading import load_backbone
from apc_bench.networks.weights import resolve
from apc_bench.settings.sweep import Method
from apc_bench.store.run import Run


@pytest.fixture(scope="module")
def kept(learned: Path) -> Path:
    """A run of the same photos that keeps its banks."""
    sweep = ["sweep", "--job", learned / "job.yaml", "--data", learned / "data", "--device", "cpu"]
    banks = ["--no-page", "--methods", "patchcore,plus", "--features", "bank"]
    apc_bench(*sweep, *banks, "--run", learned / "kept", "--executor", "serial")
    return learned / "kept"


def trial(run: Path, method: str) -> pl.DataFrame:
    opened = Run.open(run)
    rows = [row for row in opened.plan().to_dicts() if row["kind"] == "trial"]
    (key,) = [row["result_key"] for row in rows if row["method"] == method]
    return opened.scores(key).filter(pl.col("split") == "test")


def queries(photos: list[Path]) -> np.ndarray:
    """The plainly written features (photos, patches, 64) of letterboxed photos."""
    weights = resolve("builtin", file=None, cache=Path())
    backbone, _ = load_backbone("builtin", weights.path)
    geometry = Geometry(32, "letterbox")
    pixels = np.stack([geometry.apply(read_image(path, 8)).transpose(2, 0, 1) for path in photos])
    with torch.inference_mode():
        images = normalise(torch.from_numpy(pixels), backbone.statistics)
        stages = backbone(images, last="layer3")
        return plain_patches([stages["layer2"], stages["layer3"]], 64, 64).numpy()


def check(run: Path, data: Path, out: Path) -> None:
    """Searches the exported index with the test photos' features."""
    table = trial(run, "patchcore")
    index = faiss.read_index(str(out / "part" / "nnscorer_search_index.faiss"))
    origins = pl.read_parquet(out / "part" / "origins.parquet")
    assert isinstance(index, faiss.IndexFlatL2) and index.ntotal == len(origins)
    features = queries([data / "part" / image for image in table["image"]])
    for own, row in zip(features, table.iter_rows(named=True), strict=True):
        distance, number = index.search(own, 1)
        worst = int(distance.argmax())
        np.testing.assert_allclose(distance[worst, 0], row["nearest_distance"], rtol=1e-4)
        seen = origins.row(int(number[worst, 0]), named=True)
        assert seen == {name: row[f"nearest_{name}"] for name in ("image", "row", "column")}


def test_faiss_alone_finds_the_trials_distances_in_a_bank_filled_again(
    learned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "banks"
    asked = ["export", learned / "run", out, "--what", "bank", "--method", "patchcore"]
    told = apc_bench(*asked, "--cache", tmp_path / "cache").output
    assert "filled again from 4 training images" in told
    assert "without patchcore_params.pkl: patchcore-inspection has no extractor" in told
    check(learned / "run", learned / "data", out)
    about = json.loads((out / "export.json").read_text())
    assert about["categories"]["part"]["vectors"] == 4 * 4 * 4 // 2


def test_faiss_alone_finds_them_in_a_bank_that_the_run_kept(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "banks"
    told = apc_bench("export", kept, out, "--what", "bank", "--method", "patchcore").output
    assert "kept by the run" in told
    check(kept, kept.parent / "data", out)
    apc_bench("export", kept, tmp_path / "plus", "--what", "bank", "--method", "plus")
    assert (tmp_path / "plus" / "part" / "nnscorer_search_index.faiss").is_file()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--method", "plus"], "'plus' (apc+): the run kept no memory bank of it"),
        (["--detector", "apc"], "--what bank and --detector ask for different things"),
        (["--image", "000.png"], "--what bank and --image ask for different things"),
        ([], "of which method? --method takes one of"),
    ],
)
def test_what_has_no_bank_is_said_in_a_line(
    learned: Path, tmp_path: Path, asked: list[str], words: str
) -> None:
    told = apc_bench("export", learned / "run", tmp_path / "a", "--what", "bank", *asked, code=2)
    assert words in told.output
    assert not (tmp_path / "a").exists()


def test_the_reference_makes_its_own_extractor_where_it_has_the_same(tmp_path: Path) -> None:
    method = Method(backbone="wide_resnet50_2", settings={"layers": ["layer2", "layer3"]})
    torchvisions = "95faca4d" + 56 * "0"
    parameters = bank._parameters(method, torchvisions, 224)
    stored = bank.StoredBank(np.eye(3, dtype=np.float32), ("a",) * 3, *np.zeros((2, 3), np.int16))
    bank._write(stored, parameters, tmp_path / "part")
    assert pickle.loads((tmp_path / "part" / "patchcore_params.pkl").read_bytes()) == {
        "backbone.name": "wideresnet50",
        "layers_to_extract_from": ["layer2", "layer3"],
        "input_shape": (3, 224, 224),
        "pretrain_embed_dimension": 1024,
        "target_embed_dimension": 1024,
        "patchsize": 3,
        "patchstride": 1,
        "anomaly_scorer_num_nn": 1,
    }
    assert bank._parameters(method, "0" * 64, 224) is None  # other weights under the same name
    apc = Method(detector="apc", backbone="wide_resnet50_2")
    assert bank._parameters(apc, torchvisions, 224) is None
