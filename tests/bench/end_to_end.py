"""PatchCore from image files to metrics on one category, against anomalib as a user runs it and the
plain reference, each in a fresh process.

Decoding, features, coreset, scoring and image and pixel AUROC count; imports do not. apc-bench's
own time is a whole trial: calibration of the threshold, further metrics, curves and the files of
the run folder included, from an empty cache.
"""

import contextlib
import importlib.metadata
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import inputs
from bench.figure import Figure, exponent, peak_memory_gib
from PIL import Image

from apc_bench.networks.backbones import normalise

RATIO = 0.1
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4000000"
}  # docs/speed.md, "The peers": without it anomalib's memory grows with every pick
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
DATASET = "data"
TRAINING = (15, 30, 60)
SIZES = (64, 128, 256)


def figures() -> list[Figure]:
    """Ratios to the peers, agreement with the reference, and growth with training images and image
    size.
    """
    inputs.category(), inputs.weights()
    ours, reference = (
        min((run(tool) for _ in range(2)), key=lambda found: found["seconds"])
        for tool in ("ours", "reference")
    )
    shipped, tuned, paged = run("anomalib"), run("anomalib", MALLOC), run("anomalib", HUGE_PAGES)
    version = importlib.metadata.version("anomalib")
    size = f"PatchCore, {inputs.TRAIN} training images of {inputs.SIZE} px, ResNet-18, 10 %"
    by_images = [run("ours", training=count)["seconds"] for count in TRAINING]
    by_size = [run("ours", size=pixels)["seconds"] for pixels in SIZES]
    difference = max(abs(ours[name] - reference[name]) for name in ("image_auroc", "pixel_auroc"))
    return [
        times(f"{size}: times anomalib {version} as shipped", ours, shipped, 20),
        times(f"{size}: times anomalib {version} with its malloc threshold set", ours, tuned, None),
        times(
            f"{size}: times anomalib {version} with torch's huge pages switched on, as apc-bench"
            " does",
            ours,
            paged,
            None,
        ),
        times(f"{size}: times the plain reference", ours, reference, 5),
        Figure(
            what="the same: AUROC off the reference's by at most",
            value=difference,
            unit="",
            at_most=5e-4,
            how=aurocs(ours, reference),
        ),
        Figure(
            what="PatchCore: exponent in the number of training images",
            value=exponent(TRAINING, by_images),
            unit="",
            how=_steps(TRAINING, by_images),
        ),
        Figure(
            what="PatchCore: exponent in the image size",
            value=exponent(SIZES, by_size),
            unit="",
            how=_steps(SIZES, by_size),
        ),
    ]


def times(
    what: str, ours: dict[str, Any], theirs: dict[str, Any], at_least: float | None
) -> Figure:
    """How many times our seconds theirs are."""
    memory = f"{ours['memory']:.1f} against {theirs['memory']:.1f} GiB"
    how = f"{ours['seconds']:.1f} s against {theirs['seconds']:.1f} s; {memory}"
    return Figure(
        what=what, value=theirs["seconds"] / ours["seconds"], unit="×", at_least=at_least, how=how
    )


def aurocs(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Both tools' AUROCs."""
    return "; ".join(
        f"{name} {ours[name]:.4f} against {theirs[name]:.4f}"
        for name in ("image_auroc", "pixel_auroc")
    )


def parts(found: dict[str, Any]) -> str:
    """The seconds of a tool's parts, those of a tenth of a second at least."""
    return ", ".join(
        f"{name} {spent:.1f}" for name, spent in found["parts"].items() if spent > 0.05
    )


def _steps(sizes: tuple[int, ...], seconds: list[float]) -> str:
    return ", ".join(f"{size}: {spent:.1f} s" for size, spent in zip(sizes, seconds, strict=True))


def run(
    tool: str,
    environment: dict[str, str] | None = None,
    *,
    training: int = inputs.TRAIN,
    size: int = inputs.SIZE,
) -> dict[str, Any]:
    """A tool's seconds, AUROCs and peak memory in GiB, in a fresh process."""
    command = [sys.executable, "-m", "bench.end_to_end", tool, str(training), str(size)]
    chosen = (HUGE_PAGES if tool == "ours" else {}) | (environment or {})
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **chosen}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{tool} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(training: int, size: int) -> dict[str, Any]:
    """A trial of the product itself: `apc-bench sweep --executor serial` on the folder, from an
    empty cache; `parts`: the seconds of its stages, and what is not in them.
    """
    from rich.console import Console

    from apc_bench.metrics.catalogue import STAGES
    from apc_bench.runner.driver import run_sweep
    from apc_bench.runner.executors.protocol import Execution
    from apc_bench.runner.prepare import prepare
    from apc_bench.settings.sweep import make_sweep
    from apc_bench.store.cache import Cache
    from apc_bench.store.run import Run

    method = {
        "detector": "patchcore",
        "backbone": inputs.backbone_name(),
        "weights": str(inputs.weights()),
        "settings": {"coreset_ratio": RATIO},
    }
    values = {
        "methods": {"patchcore": method},
        "seeds": [0],
        "shots": [1],
        "reserve": 1,
        "image_size": size,
        "dataset": DATASET,  # whole, MVTec AD would be known by its content, and seeded by its name
        **inputs.geometry(),
    }
    sweep = make_sweep({**values, "device": "cpu", "threads": inputs.THREADS}, source="bench")
    with tempfile.TemporaryDirectory() as folder:
        root = _subset(Path(folder) / "data", training)
        import apc_bench.runner.worker  # noqa: F401 - imports do not count

        started = time.perf_counter()
        prepared = prepare(sweep, root, Cache(Path(folder) / "cache"), say=lambda line: None)
        run_sweep(
            prepared,
            Path(folder) / "run",
            Cache(Path(folder) / "cache"),
            Execution("serial"),
            Console(file=io.StringIO()),
        )
        seconds = time.perf_counter() - started
        row = next(
            row
            for row in Run.open(Path(folder) / "run").metrics().iter_rows(named=True)
            if row["subset"] == "full"
        )
    stages = {name: row[f"seconds_{name}"] or 0.0 for name in STAGES if name != "total"}
    return {
        "seconds": seconds,
        "parts": {**stages, "rest": seconds - sum(stages.values())},
        "image_auroc": row["image_auroc"],
        "pixel_auroc": row["pixel_auroc"],
    }


def _subset(root: Path, training: int) -> Path:
    """The category with its first training images, as links."""
    category = inputs.category()
    dropped = [sample.image for sample in category.samples if sample.training][training:]
    for path in category.folder.rglob("*.png"):
        name = path.relative_to(category.folder)
        if name.as_posix() not in dropped:
            link = root / category.name / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return root


def reference(training: int, size: int) -> dict[str, float]:
    """patchcore-inspection's way, written out in bench/reference.py, with the product's projection
    and starting points.
    """
    import faiss
    from bench import reference as plain
    from scipy.ndimage import gaussian_filter
    from sklearn.metrics import roc_auc_score

    from apc_bench.bank.coreset import projection, start_indices
    from apc_bench.runner.worker import seed_of

    faiss.omp_set_num_threads(inputs.THREADS)
    category, network = inputs.category(), inputs.backbone()
    seed = seed_of(_Named(DATASET, category.name, 0))  # type: ignore[arg-type]
    started = time.perf_counter()
    rows = {True: inputs.rows(training=True)[:training], False: inputs.rows(training=False)}
    loaded = {
        kind: np.stack(
            [_pixels(category.folder / category.samples[row].image, size) for row in rows[kind]]
        )
        for kind in rows
    }
    patches = plain.features(network, loaded[True]).flatten(0, 1)
    count = int(len(patches) * RATIO)
    picks = plain.approximate_greedy(
        projection(patches, 128, seed=seed), count, start_indices(len(patches), 10, seed=seed)
    )
    index = faiss.IndexFlatL2(patches.shape[1])
    index.add(patches[picks].numpy())
    tested = plain.features(network, loaded[False])
    distances = index.search(tested.flatten(0, 1).numpy(), 1)[0].reshape(len(tested), -1)
    grid = int(distances.shape[1] ** 0.5)
    grown = [
        np.asarray(
            Image.fromarray(one.reshape(grid, grid)).resize((size, size), Image.Resampling.BILINEAR)
        )
        for one in distances
    ]
    maps = np.stack([gaussian_filter(one, 4) for one in grown])
    samples = [category.samples[row] for row in rows[False]]
    masks = np.stack(
        [_mask(category.folder / sample.mask if sample.mask else None, size) for sample in samples]
    )
    image = roc_auc_score([sample.anomalous for sample in samples], distances.max(1))
    pixel = plain.pixel_metrics(maps, masks)["pixel_auroc"]
    return {
        "seconds": time.perf_counter() - started,
        "image_auroc": float(image),
        "pixel_auroc": pixel,
    }


class _Named:
    """What a step's seed is made of."""

    def __init__(self, dataset: str, category: str, seed: int) -> None:
        self.dataset, self.category, self.seed = dataset, category, seed


def _pixels(path: Path, size: int) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    if inputs.ON:  # their shorter side has 256 pixels already
        return np.asarray(_centre(image, size)).transpose(2, 0, 1)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _mask(path: Path | None, size: int) -> np.ndarray:
    if path is None:
        return np.zeros((size, size), np.bool_)
    image = Image.open(path)
    if inputs.ON:
        return np.asarray(_centre(image, size)) >= 128
    return np.asarray(image.resize((size, size), Image.Resampling.NEAREST)) >= 128


def _centre(image: Image.Image, size: int) -> Image.Image:
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))


@torch.inference_mode()
def floor(training: int, size: int) -> dict[str, Any]:
    """The least that comparing every test patch with the whole bank takes in float32: the network on
    every image, and one product of the test patches with a bank of as many vectors.
    """
    category, network = inputs.category(), inputs.backbone()
    rows = [*inputs.rows(training=True)[:training], *inputs.rows(training=False)]
    paths = [category.folder / category.samples[row].image for row in rows]
    images = torch.from_numpy(np.stack([_pixels(path, size) for path in paths]))
    network(normalise(images[:2]), last="layer3")
    started = time.perf_counter()
    for batch in images.split(16):
        grid = network(normalise(batch), last="layer3")["layer2"].shape[2:].numel()
    through = time.perf_counter() - started
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(1024, int(training * grid * RATIO), generator=generator)
    block = torch.randn(4096, 1024, generator=generator)
    product = torch.empty(4096, bank.shape[1])
    started = time.perf_counter()
    for start in range(0, (len(rows) - training) * grid, len(block)):
        count = min(len(block), (len(rows) - training) * grid - start)
        torch.mm(block[:count], bank, out=product[:count])
    multiplied = time.perf_counter() - started
    return {"seconds": through + multiplied, "parts": {"network": through, "product": multiplied}}


def anomalib(training: int, size: int) -> dict[str, float]:
    """anomalib's PatchCore through its own Engine on its Folder dataset: fit, then test, as its
    documentation has it.
    """
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from anomalib.models import Patchcore

    category = inputs.category()
    types = sorted({sample.defect_type for sample in category.samples if sample.anomalous})
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        root = _subset(Path(folder), training) / category.name
        data = Folder(
            name="bench",
            root=root,
            normal_dir="train/good",
            normal_test_dir="test/good",
            abnormal_dir=[f"test/{kind}" for kind in types],
            mask_dir=[f"ground_truth/{kind}" for kind in types],
            num_workers=0,
            train_batch_size=16,
            eval_batch_size=16,
        )
        model = Patchcore(
            backbone=inputs.backbone_name(),
            layers=list(inputs.LAYERS),
            pre_trained=False,
            coreset_sampling_ratio=RATIO,
        )
        resized, crop = ((256, 256), (size, size)) if inputs.ON else ((size, size), None)
        model.pre_processor = Patchcore.configure_pre_processor(resized, center_crop_size=crop)
        model.model.feature_extractor.feature_extractor.load_state_dict(
            torch.load(inputs.weights()), strict=False
        )
        engine = Engine(default_root_dir=folder, accelerator="cpu", logger=False)
        started = time.perf_counter()
        engine.fit(model, datamodule=data)
        found = engine.test(model, datamodule=data)[0]
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "image_auroc": float(found["image_AUROC"]),
        "pixel_auroc": float(found["pixel_AUROC"]),
    }


def main(tool: str, training: int, size: int) -> None:
    """One tool's run; prints its figures as the last line."""
    torch.set_num_threads(inputs.THREADS)
    torch.manual_seed(0)
    tools = {"ours": ours, "reference": reference, "anomalib": anomalib, "floor": floor}
    found = tools[tool](training, size)
    print(json.dumps({**found, "memory": peak_memory_gib()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
