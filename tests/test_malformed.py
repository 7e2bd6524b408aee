"""Hundreds of malformed inputs: each is one clear line that names the culprit, with exit code 2,
and does nothing else.

Generated from a fixed seed and made by hand; `pytest -s` prints how many there are of each kind.
"""

import io
import itertools
import json
import pickle
import random
import shutil
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from archives import packed
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from support import _command, apc_bench, make_category

from apc_bench.datasets.catalog import CATALOG
from apc_bench.datasets.images import read_image
from apc_bench.errors import DataError

AT_LEAST = 300
CHANCE = random.Random(20261127)
FORMATS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF"}
TINY = "image_size: 32\nreserve: 2\nshots: [1]\nseeds: [0]\n"
PATCHCORE = (
    "methods: {patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}}\n"
)


class Tally:
    """What was tried, and what went wrong with it."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.faults: list[str] = []

    def refused(self, kind: str, name: str, culprit: str, *arguments: object) -> None:
        """The command must end with code 2 and one line that names the culprit."""
        self.tried[kind] += 1
        result = CliRunner().invoke(_command, [str(argument) for argument in arguments])
        errors = [line for line in result.output.splitlines() if line.startswith("error: ")]
        if (
            result.exit_code != 2
            or len(errors) != 1
            or "Traceback" in result.output
            or not isinstance(result.exception, SystemExit)
        ):
            self.faults.append(
                f"{kind} {name}: code {result.exit_code}, {result.exception!r}:"
                f" {result.output[-400:]}"
            )
        elif culprit not in errors[0]:
            self.faults.append(f"{kind} {name}: {culprit!r} is not named in {errors[0][:400]}")
        elif not result.output.rstrip().endswith(errors[0]):
            self.faults.append(
                f"{kind} {name}: the error is not the last line: {result.output[-400:]}"
            )


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(
        buffer, kind
    )
    return buffer.getvalue()


def unreadable(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        read_image(path)
    except DataError:
        return True
    path.unlink()
    return False


def bad_images(folder: Path) -> list[str]:
    """Files of every format, truncated and with flipped bits, that cannot be read; and some made by
    hand.
    """
    names = []
    for ending, kind in FORMATS.items():
        whole = encoded(kind)
        for number, length in enumerate(sorted(CHANCE.sample(range(len(whole) * 9 // 10), 14))):
            names += (
                [f"cut {number}.{ending}"]
                if unreadable(folder / f"cut {number}.{ending}", whole[:length])
                else []
            )
        for number in range(60):
            flipped = bytearray(whole)
            for _ in range(3):
                flipped[CHANCE.randrange(min(len(whole), 120))] ^= 1 << CHANCE.randrange(8)
            names += (
                [f"bits {number}.{ending}"]
                if unreadable(folder / f"bits {number}.{ending}", bytes(flipped))
                else []
            )
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    by_hand = {
        "empty.png": b"",
        "text.jpg": b"no picture\n",
        "<script>alert(1)<script>.png": b"<html>",
        "program.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "archive.bmp": b"PK\3\4",
        "bomb.png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + b"\0\0\0\0",
        "quote ' \" ü.png": b"\0" * 100,
    }
    for name, content in by_hand.items():
        assert unreadable(folder / name, content)
        names.append(name)
    return names


def images(tally: Tally, place: Path) -> None:
    """All in one dataset: `data check` lists each, a sweep names each, --skip-unreadable leaves
    them out and the page says so.
    """
    data = make_category(place / "images", train=24, good=3, defects=4)
    names = bad_images(data / "part" / "train" / "good")
    tally.tried["images"] += len(names)
    report = json.loads(apc_bench("data", "check", data, "--reserve", "2", "--json", code=2).output)
    listed = next(
        found for found in report["categories"][0]["findings"] if found["kind"] == "unreadable"
    )["files"]
    tally.faults += [
        f"images: data check misses {name}" for name in names if f"train/good/{name}" not in listed
    ]
    job = place / "images.yaml"
    job.write_text(TINY + PATCHCORE)
    sweep = (
        "sweep",
        "--job",
        job,
        "--data",
        data,
        "--cache",
        place / "cache",
        "--run",
        place / "images run",
        "--executor",
        "serial",
    )
    errors = [
        line for line in apc_bench(*sweep, code=2).output.splitlines() if line.startswith("error: ")
    ]
    tally.faults += [
        f"images: the sweep misses {name}"
        for name in names
        if name not in errors[0] or len(errors) != 1
    ]
    assert (
        f"left out {len(names)} unreadable file(s)" in apc_bench(*sweep, "--skip-unreadable").output
    )
    page = (place / "images run" / "report" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def masks_and_groups(tally: Tally, place: Path) -> None:
    def data(name: str) -> Path:
        return make_category(place / f"masks {name}", train=24, good=3, defects=4)

    def check(kind: str, name: str, culprit: str, root: Path) -> None:
        job = place / "masks.yaml"
        job.write_text(TINY + PATCHCORE)
        options = (
            "--cache",
            place / "cache",
            "--run",
            place / "run of masks",
            "--executor",
            "serial",
        )
        tally.refused(kind, name, culprit, "sweep", "--job", job, "--data", root, *options)

    masks = {
        "of another size": (
            "000_mask.png",
            lambda path: Image.fromarray(np.full((9, 9), 255, np.uint8)).save(path),
        ),
        "empty file": ("000_mask.png", lambda path: path.write_bytes(b"")),
        "text": ("001_mask.png", lambda path: path.write_text("no mask")),
        "truncated": ("002_mask.png", lambda path: path.write_bytes(path.read_bytes()[:40])),
        "stray": (
            "stray_mask.png",
            lambda path: Image.fromarray(np.zeros((32, 32), np.uint8)).save(path),
        ),
        "second": (
            "003.png",
            lambda path: Image.fromarray(np.zeros((32, 32), np.uint8)).save(path),
        ),
    }
    for name, (file, damage) in masks.items():
        root = data(name)
        damage(root / "part" / "ground_truth" / "dent" / file)
        check("masks", name, file, root)
    groups = {
        "no header": "test/dent/000.png,g\n",
        "other columns": "file,part\n1,2\n",
        "unknown image": "image,group\ntest/dent/999.png,g\n",
        "empty group": "image,group\ntest/dent/000.png,\n",
        "twice": "image,group\ntest/dent/000.png,a\ntest/dent/000.png,b\n",
        "way out": "image,group\n../../etc/passwd,a\n",
        "leak": "image,group\ntest/dent/000.png,a\ntrain/good/000.png,a\ntest/good/000.png,a\n",
        "one group": "image,group\n" + "".join(f"test/dent/{n:03}.png,a\n" for n in range(4)),
    }
    for name, text in groups.items():
        root = data(f"groups {name}")
        (root / "part" / "groups.csv").write_text(text)
        check("groups.csv", name, "part" if name in ("leak", "one group") else "groups.csv", root)
    for name, content in (
        ("binary", b"\x89PNG\r\n\x1a\n\0\xff"),
        ("UTF-16", "image,group\n".encode("utf-16")),
        ("NUL", b"image,group\n\0,\0\n"),
    ):
        root = data(f"groups {name}")
        (root / "part" / "groups.csv").write_bytes(content)
        check("groups.csv", name, "groups.csv", root)


def layouts(tally: Tally, place: Path) -> None:
    def root(name: str) -> Path:
        return make_category(place / f"layout {name}", train=24, good=3, defects=4)

    cases: dict[str, tuple[Path, str]] = {}
    for part in ("train/good", "test/good", "test/dent", "train", "test"):
        at = root(part.replace("/", " "))
        shutil.rmtree(at / "part" / part)
        cases[f"without {part}"] = at, "part"
    for name in ("a b", "ü", "-x", "x" * 65, "..", "a'b", "<b>"):
        at = root(f"type {len(cases)}")
        if name != "..":
            (at / "part" / "test" / "dent").rename(at / "part" / "test" / name)
            (at / "part" / "ground_truth" / "dent").rename(at / "part" / "ground_truth" / name)
            cases[f"defect type {name}"] = at, repr(name)
    for name in ("a b", "ü", "x" * 65, "<img src=x>"):
        at = root(f"category {len(cases)}")
        (at / "part").rename(at / name)
        cases[f"category {name}"] = at, repr(name)
    (place / "layout file").write_text("x")
    cases |= {
        "a file": (place / "layout file", "layout file"),
        "gone": (place / "layout gone", "layout gone"),
        "a category itself": (root("inner") / "part", "give its parent"),
    }
    control = root("control")
    shutil.copy(control / "part/train/good/000.png", control / "part/train/good/a\nb.png")
    cases["a line break in a name"] = control, "control characters"
    job = place / "layout.yaml"
    job.write_text(TINY + PATCHCORE)
    for name, (at, culprit) in cases.items():
        options = (
            "--cache",
            place / "cache",
            "--run",
            place / "run of layouts",
            "--executor",
            "serial",
        )
        tally.refused("layouts", name, culprit, "sweep", "--job", job, "--data", at, *options)


def archives(tally: Tally, place: Path) -> None:
    entry = CATALOG["mpdd"]
    whole = packed("mpdd", "whole.zip", place / "archives")
    tarred = place / "archives" / "whole.tar.gz"
    with tarfile.open(tarred, "w:gz") as tar:
        tar.add(place / "archives" / "tree of mpdd", arcname=".")
    paths = []
    for source, ending in ((whole, "zip"), (tarred, "tar.gz")):
        content = source.read_bytes()
        for number, length in enumerate(sorted(CHANCE.sample(range(len(content) - 200), 8))):
            paths.append(place / "archives" / f"cut {number}.{ending}")
            paths[-1].write_bytes(content[:length])
    for name, member in {
        "absolute": "/x",
        "parent": "../x",
        "device": "x",
        "link": "x",
        "control": "a\tb",
    }.items():
        paths.append(place / "archives" / f"{name}.tar")
        with tarfile.open(paths[-1], "w") as tar:
            info = tarfile.TarInfo(member)
            info.type = {"device": tarfile.CHRTYPE, "link": tarfile.SYMTYPE}.get(
                name, tarfile.REGTYPE
            )
            info.linkname = "/etc/passwd" if name == "link" else ""
            tar.addfile(info, io.BytesIO(b""))
    for name, text in {
        "text": b"no archive",
        "empty": b"",
        "html": b"<html>404</html>" * 50,
        "image": encoded("PNG"),
    }.items():
        paths.append(place / "archives" / f"{name}.zip")
        paths[-1].write_bytes(text)
    with zipfile.ZipFile(paths[-1].with_name("other.zip"), "w") as file:
        file.writestr("readme.txt", "another dataset")
    for path in [*paths, paths[-1].with_name("other.zip"), place / "archives" / "gone.zip"]:
        CATALOG["mpdd"] = replace(entry, sha256=None)  # type: ignore[index]
        shutil.rmtree(place / "datasets", ignore_errors=True)
        command = (
            "data",
            "fetch",
            "mpdd",
            "--accept-licence",
            "--into",
            place / "datasets",
            "--archive",
            path,
        )
        culprit = "is it the right archive" if path.name == "other.zip" else path.name
        tally.refused("archives", path.name, culprit, *command)
        left = [entry.name for entry in (place / "datasets").iterdir() if entry.name != "archives"]
        tally.faults += [f"archives {path.name}: left behind {left}"] if left else []
    CATALOG["mpdd"] = entry  # type: ignore[index]


def bad_values() -> Iterator[tuple[str, object, str]]:
    """(setting, value, what must be named) of a job file that is sound otherwise."""
    wrong: dict[str, list[object]] = {
        "image_size": [0, -1, 15, 5000, "big", None, 1.5, [], {}],
        "reserve": [0, -3, 2**15, "ten", 1.5, []],
        "shots": [[0], [-1], [1, 1], ["x"], 5, "1,5", [[1]], {}, [99]],
        "seeds": [[-1], [2**31], [0, 0], "x", {}, [1.5]],
        "resize": ["stretch", 5, [], True],
        "false_alarms": [0, 1, 2, -0.1, "x", float("inf"), float("nan")],
        "threads": [0, 257, "many"],
        "device": ["gpu", 3],
        "precision": ["half", 16],
        "features": ["some", "all", 5],
        "skip_unreadable": ["perhaps", 7],
        "protocol": ["cross", 5],
        "folds": [1, 0, "x", 2000],
        "dataset": ["../x", "a b", "", "x" * 65, 5, "<b>"],
        "methods": [
            {},
            [],
            "patchcore",
            5,
            {"a/b": {}},
            {"..": {}},
            {"a": {"detector": "patchcor"}},
            {"a": {"backbone": "resnet"}},
        ],
        "only": [["nobody"], "x"],
        "unseen": ["a b", 5],
        "imagesize": [5],
    }
    for name, values in wrong.items():
        for value in values:
            yield name, value, name


def jobs(tally: Tally, place: Path) -> None:
    base = yaml.safe_load(TINY + PATCHCORE)
    path = place / "wrong.yaml"
    for name, value, culprit in bad_values():
        path.write_text(yaml.safe_dump(base | {name: value}))
        named = {"shots[99]": "reserve", "only['nobody']": "nobody"}.get(f"{name}{value}", culprit)
        tally.refused(
            "job files",
            f"{name}: {value!r}",
            named,
            "sweep",
            "--job",
            path,
            "--run",
            place / "never",
            "--data",
            place,
        )
    settings = {
        "coreset_ratio": [0, 2, "x"],
        "sigma": [-1, 65],
        "layers": [[], ["layer3", "layer2"], ["layer9"], "layer4"],
        "bank_max": [0],
        "x": [1],
    }
    for (name, values), kind in itertools.product(settings.items(), ("patchcore", "apc")):
        for value in values:
            method = {"detector": kind, "backbone": "resnet18", "settings": {name: value}}
            path.write_text(yaml.safe_dump(base | {"methods": {"m": method}}))
            tally.refused(
                "job files",
                f"{kind} {name}: {value!r}",
                name,
                "sweep",
                "--job",
                path,
                "--run",
                place / "never",
                "--data",
                place,
            )
    texts = [
        "",
        "- a\n- b\n",
        "a: [",
        "\t",
        "a: 1\na: 2\n",
        "!!python/object/apply:os.system ['touch canary']",
        "x: &x [*x]\n",
        "[" * 2000,
        "5",
        "null",
    ]
    for number, text in enumerate(texts):
        path.write_text(text)
        tally.refused(
            "job files",
            f"text {number}",
            "wrong.yaml",
            "sweep",
            "--job",
            path,
            "--run",
            place / "never",
        )
    for content in (b"\xff\xfe\0", b"job: caf\xe9", b"\0\0\0"):
        path.write_bytes(content)
        tally.refused(
            "job files",
            repr(content),
            "wrong.yaml",
            "sweep",
            "--job",
            path,
            "--run",
            place / "never",
        )


class Canary:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return exec, ("open('canary', 'w')",)


def weights(tally: Tally, place: Path) -> None:
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7)}
    folder = place / "weights"
    folder.mkdir()
    torch.save(state, folder / "partial.pth")
    torch.save({"state_dict": 5}, folder / "no dict.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save({"model": Canary()}, folder / "code.pth")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Canary()))
    (folder / "protocol 0.pth").write_bytes(pickle.dumps(Canary(), protocol=0))
    save_file(state, folder / "partial.safetensors")
    torch.save(
        {name: torch.full_like(value, torch.nan) for name, value in state.items()},
        folder / "nan.pth",
    )
    whole, safe = (
        (folder / "partial.pth").read_bytes(),
        (folder / "partial.safetensors").read_bytes(),
    )
    for number, length in enumerate((0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 10)):
        (folder / f"cut {number}.pth").write_bytes(whole[:length])
        (folder / f"cut {number}.safetensors").write_bytes(safe[: min(length, len(safe) - 1)])
    for name, content in {
        "text.pth": b"weights",
        "page.pth": b"<html>",
        "header.safetensors": b"\xff" * 8 + b"{}",
        "zip.pth": b"PK\3\4" + b"\0" * 50,
    }.items():
        (folder / name).write_bytes(content)
    data = make_category(place / "data of weights", train=24, good=3, defects=4)
    job = place / "weights.yaml"
    job.write_text(TINY + "methods: {patchcore: {backbone: resnet18}}\n")
    for path in [*sorted(folder.iterdir()), folder / "gone.pth", folder]:
        options = (
            "--weights",
            path,
            "--cache",
            place / "cache",
            "--run",
            place / "never",
            "--executor",
            "serial",
        )
        tally.refused(
            "weights", path.name, path.name, "sweep", "--job", job, "--data", data, *options
        )


def runs(tally: Tally, place: Path) -> None:
    """Every file of a run folder, emptied, cut, flipped and replaced: a command names it and ends
    with 2, or names it and goes on.
    """
    job = place / "runs.yaml"
    job.write_text(TINY + PATCHCORE)
    data = make_category(place / "data of runs", train=24, good=3, defects=4)
    whole = place / "whole run"
    apc_bench(
        "sweep",
        "--job",
        job,
        "--data",
        data,
        "--cache",
        place / "cache",
        "--run",
        whole,
        "--executor",
        "serial",
    )
    files = [
        path
        for path in sorted(whole.rglob("*"))
        if path.is_file()
        and "report" not in path.parts
        and not path.name.startswith(".")
        and path.suffix in (".parquet", ".json")
    ]
    damages = {
        "emptied": lambda content: b"",
        "cut": lambda content: content[: len(content) // 2],
        "flipped": lambda content: bytes(
            [
                *content[: len(content) // 3],
                content[len(content) // 3] ^ 64,
                *content[len(content) // 3 + 1 :],
            ]
        ),
        "replaced": lambda content: b"PAR1 not a table PAR1",
    }
    for (name, damage), path in itertools.product(damages.items(), files):
        run = place / "damaged run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        shutil.rmtree(run / "report")
        broken = run / path.relative_to(whole)
        broken.write_bytes(damage(broken.read_bytes()))
        tally.tried["run folders"] += 1
        result = CliRunner().invoke(_command, ["report", str(run)])
        told = result.output + (
            (run / "report" / "index.html").read_text() if (run / "report").exists() else ""
        )
        kind = path.relative_to(whole).parts[0]
        if (
            not isinstance(result.exception, SystemExit | None)
            or result.exit_code not in (0, 2)
            or "Traceback" in result.output
        ):
            tally.faults.append(
                f"run folders {name} {kind}: code {result.exit_code} {result.exception!r}"
                f" {result.output[-300:]}"
            )
        elif broken.name not in told.replace("\n", "") and name != "flipped":
            tally.faults.append(f"run folders {name} {kind}: not named: {result.output[-300:]}")
    for name, culprit in (("gone", "gone"), ("images", "images"), ("images.yaml", "images.yaml")):
        for command in ("report", "status"):
            tally.refused("run folders", f"{command} {name}", culprit, command, place / name)


def maps(tally: Tally, place: Path) -> None:
    data = make_category(place / "data of maps", train=24, good=3, defects=4)

    def make(folder: Path) -> Path:
        for image in sorted((data / "part" / "test").rglob("*.png")):
            target = folder / "part" / image.relative_to(data / "part").with_suffix(".npy")
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, np.ones((32, 32), np.float32))
        return folder

    def objects(path: Path) -> None:
        np.save(path, np.array([Canary()], object), allow_pickle=True)

    damages = {
        "missing": Path.unlink,
        "empty": lambda path: path.write_bytes(b""),
        "text": lambda path: path.write_text("x"),
        "pickled": objects,
        "of three dimensions": lambda path: np.save(path, np.ones((32, 32, 3), np.float32)),
        "not finite": lambda path: np.save(path, np.full((32, 32), np.nan, np.float32)),
        "of another size": lambda path: np.save(path, np.ones((7, 9), np.float32)),
        "of words": lambda path: np.save(path, np.full((32, 32), "a")),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    }
    for name, damage in damages.items():
        folder = make(place / f"maps {name}")
        damage(folder / "part" / "test" / "dent" / "001.npy")
        command = (
            "evaluate",
            folder,
            "--data",
            data,
            "--name",
            "mine",
            "--run",
            place / "never",
            "--reserve",
            "2",
            "--seeds",
            "0",
        )
        tally.refused(
            "maps", name, "001", *command, "--image-size", "32", "--cache", place / "cache"
        )
    for name, text in {
        "columns": "a,b\n1,2\n",
        "number": "image,score\npart/test/dent/000.png,high\n",
        "nothing": "",
        "missing": "image,score\n",
    }.items():
        folder = make(place / f"scores {name}")
        (folder / "scores.csv").write_text(text)
        command = (
            "evaluate",
            folder,
            "--data",
            data,
            "--name",
            "mine",
            "--run",
            place / "never",
            "--reserve",
            "2",
            "--seeds",
            "0",
        )
        tally.refused(
            "maps",
            f"scores {name}",
            "scores",
            *command,
            "--image-size",
            "32",
            "--cache",
            place / "cache",
        )


def command_lines(tally: Tally, place: Path) -> None:
    lines = {
        "--shots": ["0", "a", "1,,5", "-1", "1.5", "1;5", "", "9999999"],
        "--seeds": ["a", "-1", "0,0", ",", "1e3"],
        "--reserve": ["0", "-1", "x", "1.5"],
        "--image-size": ["x", "-5", "15", "9999"],
        "--resize": ["stretch", ""],
        "--protocol": ["half", ""],
        "--folds": ["1", "x"],
        "--device": ["gpu", ""],
        "--threads": ["0", "x", "999"],
        "--workers": ["0", "x"],
        "--gpus-per-trial": ["2", "-1", "x"],
        "--executor": ["spark", ""],
        "--step-timeout": ["0", "x"],
        "--backbone": ["resnet", ""],
        "--methods": ["nobody", "patchcore,,apc"],
        "--categories": ["nothing", ","],
        "--features": ["some"],
        "--job": ["quickstar", "gone.yaml", ".."],
        "--data": [str(place / "nowhere")],
        "--like": [str(place / "nowhere")],
        "--unseen": ["nothing", "a b"],
        "--part": ["nothing"],
        "--dataset": ["../x", "a b"],
        "--image-sise": ["5"],
    }
    for option, values in lines.items():
        for value in values:
            job = () if option in ("--job", "--data", "--like") else ("--job", "tiny")
            common = ("--run", place / "never", "--cache", place / "cache", "--dry-run")
            tally.refused(
                "command lines",
                f"{option} {value}",
                (
                    option
                    if "sise" in option
                    else (value or option).split(",")[0].lstrip("-") or option
                ),
                "sweep",
                *job,
                *common,
                option,
                value,
            )
    others = [
        ("swep", ["swep"]),
        ("RUN", ["report"]),
        ("extra", ["status", str(place), "extra"]),
        ("mvtec", ["data", "fetch", "mvtec"]),
        ("DIR", ["data", "check"]),
        ("nowhere", ["gate", str(place / "nowhere"), "--against", str(place / "nowhere")]),
        ("nowhere", ["compare", str(place / "nowhere"), str(place / "nowhere")]),
        ("nowhere", ["history", str(place / "nowhere")]),
        (
            "nowhere",
            [
                "export",
                str(place / "nowhere"),
                str(place / "out"),
                "--method",
                "apc",
                "--seed",
                "0",
            ],
        ),
    ]
    for culprit, words in others:
        tally.refused("command lines", " ".join(words), culprit, *words)


def listing(place: Path) -> dict[str, int]:
    """Files by path with their time of change; the caches are free to change."""
    return {
        str(path.relative_to(place)): path.stat().st_mtime_ns
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


@pytest.mark.timeout(300)
def test_each_of_hundreds_of_malformed_inputs_is_one_clear_line(tmp_path, monkeypatch):
    place, outside = tmp_path / "inputs", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    (outside / "precious.txt").write_text("x")
    monkeypatch.chdir(outside)
    monkeypatch.setenv("COLUMNS", "200")
    before = listing(outside)
    tally = Tally()
    for part in (
        images,
        masks_and_groups,
        layouts,
        archives,
        jobs,
        weights,
        runs,
        maps,
        command_lines,
    ):
        part(tally, place)
    print("\n" + "\n".join(f"{number:5d}  {kind}" for kind, number in tally.tried.items()))
    print(f"{tally.tried.total():5d}  malformed inputs")
    assert not tally.faults, f"{len(tally.faults)} of {tally.tried.total()}:\n" + "\n".join(
        tally.faults[:40]
    )
    assert tally.tried.total() >= AT_LEAST
    assert listing(outside) == before, "something was written where the command ran, or run as code"
    assert not (place / "never").exists()
