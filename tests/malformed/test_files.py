"""Weights, run folders and anomaly maps that are damaged, or are programs."""

import itertools
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import apc_bench


class Canary:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return exec, ("open('canary', 'w')",)


def write_weights(folder: Path) -> None:
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    folder.mkdir()
    saved = {
        "partial": state,
        "no dict": {"state_dict": 5},
        "list": [1, 2],
        "code": {"model": Canary()},
        "nan": {"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)},
    }
    for name, value in saved.items():
        torch.save(value, folder / f"{name}.pth")
    save_file(state, folder / "partial.safetensors")
    contents = {
        "pickle.pth": pickle.dumps(Canary()),
        "protocol 0.pth": pickle.dumps(Canary(), protocol=0),
        "text.pth": b"weights",
        "page.pth": b"<html>",
        "header.safetensors": b"\xff" * 8 + b"{}",
        "zip.pth": b"PK\3\4" + b"\0" * 50,
    }
    for ending in ("pth", "safetensors"):
        whole = (folder / f"partial.{ending}").read_bytes()
        for number, length in enumerate((0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 10)):
            contents[f"cut {number}.{ending}"] = whole[:length]
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_a_file_of_weights_is_named_and_not_run(refused):
    folder, data = refused.place / "weights", refused.dataset("data")
    write_weights(folder)
    job = refused.job("methods: {patchcore: {backbone: resnet18}}\n")
    for path in [*sorted(folder.iterdir()), folder / "gone.pth", folder]:
        refused.swept(path.name, path.name, "--weights", path, "--job", job, "--data", data)
    assert refused.tried >= 27


def flipped(content: bytes) -> bytes:
    third = len(content) // 3
    return content[:third] + bytes([content[third] ^ 64]) + content[third + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": flipped,
    "replaced": lambda content: b"PAR1 not a table PAR1",
}


def test_a_damaged_file_of_a_run_is_named_by_the_report(refused):
    """It ends with 2, or goes on without the file."""
    whole, run = refused.place / "whole", refused.place / "run"
    places = ("--cache", refused.cache, "--run", whole, "--data", refused.dataset("data"))
    apc_bench("sweep", "--no-page", "--job", refused.job(), "--executor", "serial", *places)
    files = [path for path in sorted(whole.rglob("[!.]*")) if path.suffix in (".parquet", ".json")]
    assert len(files) >= 7
    for path, (name, damage) in itertools.product(files, DAMAGES.items()):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        broken = run / path.relative_to(whole)
        broken.write_bytes(damage(broken.read_bytes()))
        result = refused.run("report", run)
        page = run / "report" / "index.html"
        said = result.output.replace("\n", "") + (page.read_text() if page.exists() else "")
        assert isinstance(result.exception, SystemExit | None), (name, path, result.exception)
        assert result.exit_code in (0, 2), (name, path, result.output)
        assert "Traceback" not in result.output, (name, path)
        assert broken.name in said or name == "flipped", (name, path)


@pytest.mark.parametrize("command", ["report", "status"])
def test_what_is_no_run_is_named(refused, command):
    (refused.place / "photos").mkdir()
    for path in (refused.place / "gone", refused.place / "photos", refused.job()):
        refused(f"{command} {path.name}", path.name, command, path)


def save(values: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, values, allow_pickle=True)


MAPS: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("x"),
    "pickled": save(np.array([Canary()], object)),
    "of three dimensions": save(np.ones((32, 32, 3), np.float32)),
    "not finite": save(np.full((32, 32), np.nan, np.float32)),
    "of another size": save(np.ones((7, 9), np.float32)),
    "of words": save(np.full((32, 32), "a")),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
}
SCORES = {
    "columns": "a,b\n1,2\n",
    "number": "image,score\npart/test/dent/000.png,high\n",
    "nothing": "",
    "missing": "image,score\n",
}


def write_maps(data: Path, folder: Path) -> Path:
    for image in sorted((data / "part" / "test").rglob("*.png")):
        target = folder / "part" / image.relative_to(data / "part").with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.ones((32, 32), np.float32))
    return folder


def evaluate(refused, name: str, culprit: str, folder: Path, data: Path) -> None:
    sizes = ("--reserve", "2", "--seeds", "0", "--image-size", "32")
    places = ("--data", data, "--run", refused.place / "never", "--cache", refused.cache)
    refused(name, culprit, "evaluate", folder, "--name", "mine", *sizes, *places)


def test_a_map_is_named_and_not_run(refused):
    data = refused.dataset("data")
    for name, damage in MAPS.items():
        folder = write_maps(data, refused.place / f"maps {name}")
        damage(folder / "part" / "test" / "dent" / "001.npy")
        evaluate(refused, name, "001", folder, data)


def test_a_table_of_scores_is_named(refused):
    data = refused.dataset("data")
    for name, text in SCORES.items():
        folder = write_maps(data, refused.place / f"scores {name}")
        (folder / "scores.csv").write_text(text)
        evaluate(refused, name, "scores", folder, data)
