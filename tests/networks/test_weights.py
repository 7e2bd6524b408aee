"""Promises of where weights come from: given, cached, downloaded from a server on this machine, or
shipped.
"""

import functools
import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision import models

from apc_bench.errors import StorageError, UsageError, WeightsError
from apc_bench.networks.weights import describe, resolve
from apc_bench.settings.backbones import BACKBONES

CONTENT = b"weights" * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"others" * 1000


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served, from which resnet18 (with its sum's first digits) and
    moco_v3_resnet50 (without) come.
    """
    folder = tmp_path / "web"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    ) as server:
        for name, prefix in (("resnet18", SUM[:8]), ("moco_v3_resnet50", None)):
            url = f"http://127.0.0.1:{server.server_address[1]}/{BACKBONES[name].filename}"
            monkeypatch.setitem(
                BACKBONES, name, replace(BACKBONES[name], url=url, sha256_prefix=prefix)
            )
            (folder / BACKBONES[name].filename).write_bytes(CONTENT)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def cached(cache: Path, backbone: str) -> Path:
    return cache / "weights" / BACKBONES[backbone].filename


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("resnet18", models.ResNet18_Weights.IMAGENET1K_V1),
        ("resnet50", models.ResNet50_Weights.IMAGENET1K_V1),
        ("wide_resnet50_2", models.Wide_ResNet50_2_Weights.IMAGENET1K_V1),
    ],
)
def test_the_sources_are_torchvisions(name: str, official: models.WeightsEnum) -> None:
    source = BACKBONES[name]
    assert source.url == official.url
    assert official.url.endswith(f"/{source.filename}")
    assert source.filename.endswith(f"-{source.sha256_prefix}.pth")
    assert source.size == pytest.approx(official.meta["_file_size"] * 2**20, rel=0.01)


def test_a_given_file_wins_over_a_cached_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(cache, "resnet18").parent.mkdir(parents=True)
    cached(cache, "resnet18").write_bytes(OTHER)
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    found = resolve("resnet18", file=Path("mine.pth"), cache=cache)
    assert (found.path, found.sha256, found.origin) == (tmp_path / "mine.pth", SUM, "file mine.pth")


def test_a_given_file_that_is_missing_is_named(cache: Path, tmp_path: Path) -> None:
    for ask in (resolve, describe):
        for missing in (tmp_path / "none.pth", tmp_path):
            with pytest.raises(WeightsError, match="--weights") as caught:
                ask("builtin", file=missing, cache=cache)
            assert str(missing) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    # The permissions of a file do not stop root, as whom tests may run.
    monkeypatch.setattr("apc_bench.networks.weights.file_sha256", refuse)
    with pytest.raises(WeightsError, match=r"cannot read weights .*mine\.pth: Permission denied"):
        resolve("resnet18", file=tmp_path / "mine.pth", cache=cache)


def test_an_unknown_backbone_is_named_with_the_nearest(cache: Path) -> None:
    for ask in (resolve, describe):
        with pytest.raises(UsageError, match="did you mean 'resnet18'"):
            ask("resnet_18", file=None, cache=cache)


def test_weights_are_downloaded_once_and_verified(cache: Path, web: Path) -> None:
    first = resolve("resnet18", file=None, cache=cache)
    assert (first.path, first.sha256, first.origin) == (
        cached(cache, "resnet18"),
        SUM,
        BACKBONES["resnet18"].url,
    )
    assert first.path.read_bytes() == CONTENT
    (web / BACKBONES["resnet18"].filename).unlink()
    assert resolve("resnet18", file=None, cache=cache) == first
    assert resolve("resnet18", file=None, cache=cache, fetch=False) == first


def test_a_download_with_another_sum_is_refused(cache: Path, web: Path) -> None:
    (web / BACKBONES["resnet18"].filename).write_bytes(OTHER)
    with pytest.raises(WeightsError, match=f"expected {SUM[:8]}….*--weights FILE"):
        resolve("resnet18", file=None, cache=cache)
    assert not cached(cache, "resnet18").exists()


def test_a_cached_file_with_another_sum_is_refused(cache: Path) -> None:
    cached(cache, "resnet50").parent.mkdir(parents=True)
    cached(cache, "resnet50").write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"expected 0676ba61 \(published\): delete it") as caught:
        resolve("resnet50", file=None, cache=cache)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)


@pytest.mark.parametrize("fetch", [True, False])
def test_weights_that_cannot_be_had_name_file_address_place_and_flag(
    cache: Path, web: Path, fetch: bool
) -> None:
    source = BACKBONES["resnet18"]
    (web / source.filename).unlink()
    with pytest.raises(WeightsError) as caught:
        resolve("resnet18", file=None, cache=cache, fetch=fetch)
    for part in (source.filename, source.url, str(cached(cache, "resnet18")), "--weights FILE"):
        assert str(part) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unpublished_sum_is_recorded_at_the_first_fetch(cache: Path, web: Path) -> None:
    path = cached(cache, "moco_v3_resnet50")
    assert resolve("moco_v3_resnet50", file=None, cache=cache).sha256 == SUM
    assert path.with_name(path.name + ".sha256").read_text() == f"{SUM}  {path.name}\n"
    assert {file.name for file in path.parent.iterdir() if file.suffix != ".lock"} == {
        path.name,
        path.name + ".sha256",
    }


def test_a_later_use_or_fetch_must_equal_the_recorded_sum(cache: Path, web: Path) -> None:
    path = cached(cache, "moco_v3_resnet50")
    resolve("moco_v3_resnet50", file=None, cache=cache)
    path.write_bytes(OTHER)
    with pytest.raises(WeightsError, match=f"expected {SUM} .recorded in {path.name}.sha256"):
        resolve("moco_v3_resnet50", file=None, cache=cache)
    path.unlink()
    (web / path.name).write_bytes(OTHER)
    with pytest.raises(WeightsError, match=f"expected {SUM}, got"):
        resolve("moco_v3_resnet50", file=None, cache=cache)
    assert not path.exists()


def test_a_file_put_by_hand_is_recorded_too(cache: Path) -> None:
    path = cached(cache, "moco_v3_resnet50")
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert resolve("moco_v3_resnet50", file=None, cache=cache, fetch=False).sha256 == SUM
    path.write_bytes(OTHER)
    with pytest.raises(WeightsError, match="recorded"):
        resolve("moco_v3_resnet50", file=None, cache=cache)


def test_a_damaged_record_is_named(cache: Path) -> None:
    path = cached(cache, "moco_v3_resnet50")
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    path.with_name(path.name + ".sha256").write_bytes(b"\xff\x00 not a sum")
    with pytest.raises(WeightsError, match=f"{path.name}.sha256 holds no sha256"):
        resolve("moco_v3_resnet50", file=None, cache=cache)


def test_a_cache_that_cannot_be_written_is_a_storage_error(cache: Path, web: Path) -> None:
    cache.write_text("a file where a folder must be")
    with pytest.raises(StorageError, match="--weights FILE"):
        resolve("resnet18", file=None, cache=cache)


def test_describe_says_what_would_be_downloaded_and_touches_nothing(cache: Path) -> None:
    said = describe("wide_resnet50_2", file=None, cache=cache)
    assert said is not None
    for part in (
        "wide_resnet50_2-95faca4d.pth",
        "138 MB",
        BACKBONES["wide_resnet50_2"].url,
        str(cached(cache, "wide_resnet50_2")),
        "BSD",
    ):
        assert str(part) in said
    assert not cache.exists()


def test_describe_is_silent_when_all_is_at_hand(cache: Path, web: Path) -> None:
    resolve("resnet18", file=None, cache=cache)
    assert describe("resnet18", file=None, cache=cache) is None
    assert describe("resnet50", file=cached(cache, "resnet18"), cache=cache) is None


def test_the_builtin_weights_are_shipped(cache: Path) -> None:
    found = resolve("builtin", file=None, cache=cache, fetch=False)
    assert found.path.name == "builtin.safetensors"
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert found.path.stat().st_size <= 2 * 2**20
    assert describe("builtin", file=None, cache=cache) is None
    assert not cache.exists()


def test_a_shipped_file_that_is_missing_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        BACKBONES, "builtin", replace(BACKBONES["builtin"], filename="gone.safetensors")
    )
    with pytest.raises(WeightsError, match=r"gone\.safetensors.*--weights FILE"):
        resolve("builtin", file=None, cache=cache)


def test_without_timm_one_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "timm", None)
    for ask in (describe, resolve):
        with pytest.raises(
            UsageError, match=r"needs the package timm.*pip install 'apc-bench\[timm\]'"
        ):
            ask("timm/resnet18.tv_in1k", file=None, cache=tmp_path)
