"""Folders that are no dataset, names that are no names, and archives that are broken or lead out."""

import io
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from archives import packed

from apc_bench.datasets.catalog import CATALOG


@pytest.mark.parametrize("part", ["train/good", "test/good", "test/dent", "train", "test"])
def test_a_missing_folder_is_named(refused, part):
    data = refused.dataset("data")
    shutil.rmtree(data / "part" / part)
    refused.swept(f"without {part}", "part", "--job", refused.job(), "--data", data)


@pytest.mark.parametrize("name", ["a b", "ü", "-x", "x" * 65, "a'b", "<b>"])
def test_a_defect_type_that_is_no_name_is_named(refused, name):
    data = refused.dataset("data")
    for folder in ("test", "ground_truth"):
        (data / "part" / folder / "dent").rename(data / "part" / folder / name)
    refused.swept(name, repr(name), "--job", refused.job(), "--data", data)


@pytest.mark.parametrize("name", ["a b", "ü", "x" * 65, "<img src=x>"])
def test_a_category_that_is_no_name_is_named(refused, name):
    data = refused.dataset("data")
    (data / "part").rename(data / name)
    refused.swept(name, repr(name), "--job", refused.job(), "--data", data)


def test_what_is_no_dataset_is_named(refused):
    data, job = refused.dataset("data"), refused.job()
    (refused.place / "layout file").write_text("x")
    for name in ("layout file", "layout gone"):
        refused.swept(name, name, "--job", job, "--data", refused.place / name)
    refused.swept("a category", "give its parent", "--job", job, "--data", data / "part")
    shutil.copy(data / "part/train/good/000.png", data / "part/train/good/a\nb.png")
    refused.swept("a line break", "control characters", "--job", job, "--data", data)


def write_tar(path: Path, name: str) -> Path:
    """An archive with one member that leads out of the folder, or is no file."""
    members = {"absolute": "/x", "parent": "../x", "device": "x", "link": "x", "control": "a\tb"}
    kinds = {"device": tarfile.CHRTYPE, "link": tarfile.SYMTYPE}
    info = tarfile.TarInfo(members[name])
    info.type = kinds.get(name, tarfile.REGTYPE)
    if name == "link":
        info.linkname = "/etc/passwd"
    with tarfile.open(path, "w") as tar:
        tar.addfile(info, io.BytesIO(b""))
    return path


def bad_archives(folder: Path, chance) -> list[Path]:
    whole = packed("mpdd", "whole.zip", folder)
    tarred = folder / "whole.tar.gz"
    with tarfile.open(tarred, "w:gz") as tar:
        tar.add(folder / "tree of mpdd", arcname=".")
    contents: dict[str, bytes] = {
        "text.zip": b"no archive",
        "empty.zip": b"",
        "html.zip": b"<html>404</html>" * 50,
        "image.zip": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    }
    for source, ending in ((whole, "zip"), (tarred, "tar.gz")):
        content = source.read_bytes()
        for number, length in enumerate(chance.sample(range(len(content) - 200), 8)):
            contents[f"cut {number}.{ending}"] = content[:length]
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    names = ("absolute", "parent", "device", "link", "control")
    tars = [write_tar(folder / f"{name}.tar", name) for name in names]
    with zipfile.ZipFile(folder / "other.zip", "w") as file:
        file.writestr("readme.txt", "another dataset")
    return [*(folder / name for name in contents), *tars, folder / "other.zip", folder / "gone.zip"]


def test_an_archive_is_named_and_leaves_nothing_behind(refused, chance, monkeypatch):
    monkeypatch.setitem(CATALOG, "mpdd", replace(CATALOG["mpdd"], sha256=None))
    into = refused.place / "datasets"
    for path in bad_archives(refused.place / "archives", chance):
        shutil.rmtree(into, ignore_errors=True)
        culprit = "is it the right archive" if path.name == "other.zip" else path.name
        options = ("--accept-licence", "--into", into, "--archive", path)
        refused(path.name, culprit, "data", "fetch", "mpdd", *options)
        left = [entry.name for entry in into.iterdir() if entry.name != "archives"]
        if left:
            refused.faults.append(f"{path.name}: left behind {left}")
    assert refused.tried >= 27
