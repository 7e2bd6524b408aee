"""How this folder was made, with the code of commit 877af49 and in a folder of no importance:

    git worktree add ../877af49 877af49
    PYTHONPATH=../877af49:../877af49/tests python make.py PLACE

It is run once: what it made is what later code must read, find done, and say again.
"""

import hashlib
import json
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import torch
from click.testing import CliRunner
from PIL import Image
from recorded import Row, record
from safetensors.torch import save_file
from support import _command

from apc_bench.networks.small_resnet import SmallResNet

HERE = Path(__file__).resolve().parent
JOB = """\
# Every detector but PRNet as small as it can be; its figures mean nothing.
image_size: 32
resize: square
reserve: 4
shots: [1, 2]
seeds: [0, 1]
false_alarms: 0.25
features: bank
methods:
  patchcore:
    {title: PatchCore, backbone: builtin, weights: narrow.safetensors,
     settings: &bank {pretrain_dim: 16, target_dim: 16, coreset_ratio: 0.2}}
  apc:
    {title: APC, detector: apc, backbone: builtin, weights: narrow.safetensors,
     settings: {<<: *bank, steps: 3, batch: 4, rate_extractor: 0.001}}
  plus:
    {title: APC+, detector: apc+, backbone: builtin, weights: narrow.safetensors,
     settings: {<<: *bank, classifier_steps: 10, classifier_width: 8}}
"""
OTHER_TOOL = """\
Row Names,instance_auroc,full_pixel_auroc,anomaly_pixel_auroc
mvtec_cap,0.75,0.875,0.8
mvtec_plate,0.625,0.75,0.7
Mean,0.6875,0.8125,0.75
"""
SWEEP = (
    "sweep",
    "--job",
    "job.yaml",
    "--data",
    "data",
    "--run",
    "runs/a",
    "--cache",
    "cache",
    "--executor",
    "serial",
)
ASKED = (
    ("status", "runs/a"),
    ("status", "runs/a", "--json"),
    ("report", "runs/a", "--data", "data"),
    ("compare", "runs/a", "runs/better"),
    ("compare", "runs/a", "runs/better", "--markdown", "--metric", "image_auroc"),
    ("compare", "runs/a", "runs/better", "--json", "--metric", "pixel_f1_max"),
    ("compare", "runs/a", "results.csv", "--pair", "patchcore=patchcore-inspection"),
    ("compare", "runs/a", "mvtec_ad"),
    ("gate", "runs/a", "--against", "runs/better"),
    ("gate", "runs/a", "--against", "runs/better", "--json", "--metric", "pixel_f1_max"),
    ("gate", "runs/better", "--against", "runs/a"),
    ("gate", "runs/again", "--against", "runs/a"),
    ("gate", "runs/a", "--against", "runs/better", "--max-drop", "50"),
    ("gate", "runs/a", "--against", "runs"),
    ("gate", "runs/a", "--against", "mvtec_ad:patchcore_code"),
    ("gate", "runs/a", "--against", "nowhere"),
    ("history", "runs"),
    ("export", "runs/a", "maps", "--method", "apc", "--shots", "2", "--seed", "0"),
    ("data", "check", "data", "--json"),
)


def make_images(root: Path) -> None:
    """Two categories of grey noise with a bright square or line, in eight levels, so that the files
    are small; one defect has no mask, and one photo of a plate was taken twice.
    """
    generator = np.random.default_rng(877)
    counts = (("train/good", 8), ("test/good", 5), ("test/dent", 4), ("test/scratch", 4))
    for category in ("cap", "plate"):
        for folder, count in counts:
            for index in range(count):
                levels = generator.integers(0, 4, (32, 32))
                levels[8:24, 8:24] += 2 if category == "cap" else 1
                row, column = generator.integers(4, 20, 2)
                mask = np.zeros((32, 32), np.uint8)
                if folder == "test/dent":
                    mask[row : row + 7, column : column + 7] = 255
                if folder == "test/scratch":
                    mask[row : row + 2, column - 3 : column + 9] = 255
                levels[mask > 0] = 7 - generator.integers(0, 3, int((mask > 0).sum()))
                save(root / category / folder / f"{index:03}.png", (levels * 36).astype(np.uint8))
                if mask.any() and (folder, index) != ("test/scratch", 3):
                    place = root / category / folder.replace("test", "ground_truth")
                    save(place / f"{index:03}_mask.png", mask)
    table = "image,group\ntest/dent/000.png,first\ntest/dent/001.png,first\n"
    (root / "plate" / "groups.csv").write_text(table)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE, colors=8).convert(
        "L"
    ).save(path, optimize=True)


def make_weights(path: Path) -> None:
    """A network of the `builtin` backbone's shape of which a few channels are alive: the others are
    zero and stay so in a fine-tuning, so that fine-tuned extractors pack to a few kilobytes.
    """
    torch.manual_seed(877)
    alive = {32: 3, 64: 4, 128: 4, 3: 3}
    tensors = {}
    for name, tensor in SmallResNet().state_dict().items():
        value = torch.zeros_like(tensor)
        if tensor.dim() == 4:
            outputs, inputs = alive[tensor.shape[0]], alive[tensor.shape[1]]
            part = torch.randn(outputs, inputs, *tensor.shape[2:])
            value[:outputs, :inputs] = part * (2 / part[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            value += 1
        elif name.endswith("weight"):
            value[: alive[len(value)]] = 1
        tensors[name] = value.half() if value.is_floating_point() else value
    save_file(tensors, path)


def better(row: Row) -> None:
    """APC finds more pixels, by as much with every seed; APC+ is worse, and with one seed alone."""
    if row["subset"] == "test" and row["method"] == "apc":
        row["pixel_f1_max"] += 0.08 if row["category"] == "plate" else 0.04
    if row["subset"] == "test" and row["method"] == "plus":
        row["image_auroc"] -= 0.2 * row["seed"]


def ask(*arguments: str) -> dict[str, object]:
    """What the command says, and its exit code."""
    result = CliRunner().invoke(_command, arguments, catch_exceptions=False)
    output = result.output.replace(str(Path.cwd()), "PLACE")
    return {"arguments": arguments, "code": result.exit_code, "output": output.splitlines()}


def sweep(place: Path) -> None:
    """Run `a`, really swept."""
    place.mkdir(parents=True)
    os.chdir(place)
    make_images(Path("data"))
    make_weights(Path("narrow.safetensors"))
    Path("job.yaml").write_text(JOB)
    Path("results.csv").write_text(OTHER_TOOL)
    sys.argv = ["apc-bench", *SWEEP]
    swept = ask(*SWEEP)
    assert swept["code"] == 0, swept


def nights() -> None:
    """Two nights made of run `a`: one with other metrics and revision, and a repetition."""
    run = Path("runs/a")
    revision = {"git": {"commit": "0" * 40, "dirty": False}}
    environment = json.loads((run / "run.json").read_text())["environment"] | revision
    record(run, Path("runs/better"), better, day=3, environment=environment)
    record(run, Path("runs/again"), day=5)


def keep() -> None:
    """What the commands say of the runs, and the files that they were asked about."""
    os.cpu_count = lambda: 1  # a report is drawn in this process: the same bytes, and sooner
    said = [ask(*arguments) for arguments in ASKED]
    report = Path("runs/a/report")
    tables = HERE / "tables"
    tables.mkdir(exist_ok=True)
    for path in sorted((report / "tables").iterdir()):
        if path.suffix in (".csv", ".md"):
            (tables / path.name).write_bytes(path.read_bytes())
    files = sorted(str(path.relative_to(report)) for path in report.rglob("*") if path.is_file())
    expected = {"said": said, "report": files, "columns": {}, "sha256": {}}
    for path in sorted((report / "tables").iterdir()):
        if path.suffix == ".parquet":
            columns = pl.read_parquet_schema(path)
            expected["columns"][path.name] = {name: str(kind) for name, kind in columns.items()}
        if path.suffix == ".tex":
            expected["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    with tarfile.open(HERE / "files.tar.xz", "w:xz", preset=9) as archive:
        for path in sorted(Path().rglob("*")):
            top = path.parts[0]
            if (
                path.is_file()
                and top not in ("cache", "maps")
                and path.suffix != ".html"
                and path.parts[2:3] != ("report",)
            ):
                archive.add(path, filter=anonymous)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    folder = Path(sys.argv[1]).resolve()
    if not folder.exists():
        sweep(folder)
    os.chdir(folder)
    nights()
    keep()
