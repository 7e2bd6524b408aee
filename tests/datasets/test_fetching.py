"""`data fetch` against a real server: each dataset's true layout, what goes wrong on the way, and
that the next call goes on.
"""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from archives import LAYOUTS, packed
from archives import visa as visa_archive
from support import apc_bench
from web import Server, serving

from apc_bench.datasets.catalog import CATALOG
from apc_bench.datasets.converting import visa
from apc_bench.datasets.counts import Expected
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.split import make_split
from apc_bench.errors import DataError
from apc_bench.files.hashing import file_sha256
from apc_bench.settings.protocols import Holdout

JOB = """
image_size: 32
reserve: 2
shots: [1]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
  plus: {detector: apc+, backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32, classifier_steps: 2}}
"""
EXPECTED = {
    "mvtec_ad": Expected({"bottle": (6, 3, {"broken": 3, "dirt": 3}), "grid": (6, 3, {"bent": 3})}),
    "mpdd": Expected(sums={"normal training": 12, "normal test": 6, "anomalous": 9}),
    "visa": Expected(sums={"categories": 2, "normal": 18, "anomalous": 12}),
    "btad": Expected({"01": (6, 3, {"ko": 3}), "02": (6, 3, {"ko": 3})}),
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Puts a small archive of the dataset into the catalog's entry; gives the server that has it
    and the folder for datasets.
    """

    def make(name: str, **changes) -> tuple[Server, Path, Path]:
        known = CATALOG[name]
        archive = packed(name, known.archive, tmp_path)
        known = replace(
            known, sha256=file_sha256(archive), expected=EXPECTED.get(name, Expected()), **changes
        )
        monkeypatch.setitem(CATALOG, name, known)  # type: ignore[arg-type]
        return Server(payload=archive.read_bytes()), archive, tmp_path / "datasets"

    return make


def served(monkeypatch, name: str, server: Server) -> None:
    monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], url=server.url))


def leftovers(into: Path) -> list[str]:
    return sorted(
        path.name for path in into.iterdir() if path.name not in CATALOG and path.name != "archives"
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_fetched_checked_and_swept(name, small, monkeypatch, tmp_path):
    server, _, into = small(name)
    with serving(server):
        served(monkeypatch, name, server)
        output = apc_bench("data", "fetch", name, "--into", into, "--accept-licence").output
    assert f"licence {CATALOG[name].licence}" in output
    assert f"next: apc-bench sweep --data {into / name}" in output
    assert leftovers(into) == []
    dataset = read_dataset(into / name)
    assert all(category.masked for category in dataset.categories)
    assert "0 errors" in apc_bench("data", "check", into / name, "--reserve", "2").output
    job = tmp_path / "job.yaml"
    job.write_text(JOB)
    options = ("--executor", "serial", "--run", tmp_path / "run", "--cache", tmp_path / "cache")
    apc_bench("sweep", "--no-page", "--job", job, "--data", into / name, *options)
    metrics = pl.read_parquet(
        f"{tmp_path}/run/metrics/**/*.parquet", hive_partitioning=True
    ).filter(pl.col("subset") == "test")
    assert len(metrics) == 2 * len(dataset.categories)
    assert metrics["image_auroc"].null_count() == 0
    assert metrics["pixel_auroc"].null_count() == 0
    assert "ready:" in apc_bench("data", "fetch", name, "--into", into).output, (
        "what is here needs no network and no licence"
    )
    assert f"\n{name} " in "\n" + apc_bench("data", "list", "--into", into).output


def test_visas_training_anomalies_are_the_pool_and_its_test_set_is_whole_for_all_shots(
    small, monkeypatch
):
    server, _, into = small("visa_2cls_highshot")
    with serving(server):
        served(monkeypatch, "visa_2cls_highshot", server)
        apc_bench("data", "fetch", "visa_2cls_highshot", "--into", into, "--accept-licence")
    category = read_dataset(into / "visa_2cls_highshot").categories[0]
    hashes = {sample.image: sample.image for sample in category.samples}
    tests = set()
    for seed, reserve in ((0, 1), (1, 3)):
        split = make_split(category, hashes, Holdout(reserve), dataset="visa", seed=seed)
        drawn = [split.rows[row].sample.image for row in split.drawn(None)]
        assert len(drawn) == reserve
        assert all(image.startswith("train/anomaly/") for image in drawn)
        tests.add(tuple(split.rows[row].sample.image for row in split.where("test")))
        assert all(not split.rows[row].sample.anomalous for row in split.where("train"))
    (test,) = tests
    assert sum(image.startswith("test/anomaly/") for image in test) == 3
    assert sum(image.startswith("test/good/") for image in test) == 3


def test_a_source_without_an_address_says_what_to_put_where_and_goes_on_from_there(
    small, monkeypatch
):
    _, archive, into = small("mtd")
    name = "mtd"
    monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], sha256=None))
    line = apc_bench(
        "data", "fetch", name, "--into", into, "--accept-licence", code=2
    ).output.splitlines()[-1]
    place = into / "archives" / CATALOG[name].archive
    assert f"put it at {place} or name it with --archive FILE" in line
    shutil.copy(archive, place)
    assert "recorded" in apc_bench("data", "fetch", name, "--into", into, "--accept-licence").output
    shutil.rmtree(into / name)
    other = archive.with_name("other.zip")
    other.write_bytes(archive.read_bytes() + b"\0")
    wrong = apc_bench(
        "data", "fetch", name, "--into", into, "--accept-licence", "--archive", other, code=2
    ).output
    assert "expected" in wrong
    assert "recorded in" in wrong
    apc_bench("data", "fetch", name, "--into", into, "--accept-licence", "--archive", archive)


def test_a_broken_connection_and_a_server_without_ranges_are_gone_on_from(small, monkeypatch):
    server, archive, into = small("btad")
    server.cut_after = len(server.payload) // 2
    with serving(server):
        served(monkeypatch, "btad", server)
        broken = apc_bench(
            "data", "fetch", "btad", "--into", into, "--accept-licence", code=2
        ).output
        assert "the connection broke after" in broken
        assert "run again to go on from there" in broken
        assert "avires.dimi.uniud.it" in broken
        assert leftovers(into) == []
        server.cut_after, server.asked = None, []
        apc_bench("data", "fetch", "btad", "--into", into, "--accept-licence")
    assert server.asked == [f"bytes={archive.stat().st_size // 2}-"]
    shutil.rmtree(into)
    server.ranges, server.cut_after = False, 10
    with serving(server):
        served(monkeypatch, "btad", server)
        apc_bench("data", "fetch", "btad", "--into", into, "--accept-licence", code=2)
        server.cut_after = None
        apc_bench("data", "fetch", "btad", "--into", into, "--accept-licence")
    assert (into / "btad" / "01").is_dir()


def test_a_wrong_sum_wrong_counts_and_an_answer_that_is_no_file_leave_nothing(small, monkeypatch):
    server, _, into = small("mvtec_ad")
    good = CATALOG["mvtec_ad"]
    with serving(server):
        served(monkeypatch, "mvtec_ad", server)
        monkeypatch.setitem(CATALOG, "mvtec_ad", replace(CATALOG["mvtec_ad"], sha256="0" * 64))
        assert (
            "wrong sha256"
            in apc_bench(
                "data", "fetch", "mvtec_ad", "--into", into, "--accept-licence", code=2
            ).output
        )
        monkeypatch.setitem(
            CATALOG,
            "mvtec_ad",
            replace(
                good,
                url=server.url,
                expected=Expected({"bottle": (6, 3, {"broken": 3, "dirt": 4})}),
            ),
        )
        counted = apc_bench(
            "data", "fetch", "mvtec_ad", "--into", into, "--accept-licence", code=2
        ).output
        assert (
            "bottle: (6, 3, {'broken': 3, 'dirt': 3}), expected (6, 3, {'broken': 3, 'dirt': 4})"
            in counted
        )
        assert "unknown category grid" in counted
        assert not (into / "mvtec_ad").exists()
        server.status = 404
        (into / "archives" / good.archive).unlink()
        assert (
            "the server answers 404"
            in apc_bench(
                "data", "fetch", "mvtec_ad", "--into", into, "--accept-licence", code=2
            ).output
        )
        server.status = 200
        monkeypatch.setitem(CATALOG, "mvtec_ad", replace(good, url=server.url))
        apc_bench("data", "fetch", "mvtec_ad", "--into", into, "--accept-licence")
    assert leftovers(into) == []


def test_a_full_disk_is_told_before_and_during_and_the_next_call_goes_on(small, monkeypatch):
    server, archive, into = small("mpdd")
    usage = namedtuple("usage", "total used free")
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 5))
    said = apc_bench(
        "data", "fetch", "mpdd", "--into", into, "--accept-licence", "--archive", archive, code=1
    ).output
    assert "make room" in said
    monkeypatch.setattr(shutil, "disk_usage", real)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("apc_bench.datasets.converting.shutil.move", full)
        said = apc_bench(
            "data",
            "fetch",
            "mpdd",
            "--into",
            into,
            "--accept-licence",
            "--archive",
            archive,
            code=1,
        ).output
    assert "No space left on device" in said
    assert leftovers(into) == []
    apc_bench("data", "fetch", "mpdd", "--into", into, "--accept-licence", "--archive", archive)
    assert server.asked == []


def test_a_licence_is_accepted_first_and_an_unknown_name_has_a_neighbour(small):
    _, _, into = small("mpdd")
    assert (
        "must be accepted: pass --accept-licence"
        in apc_bench("data", "fetch", "mpdd", "--into", into, code=2).output
    )
    assert "did you mean 'mpdd'?" in apc_bench("data", "fetch", "mpd", code=2).output
    (into / "mpdd").mkdir(parents=True)
    there = apc_bench("data", "fetch", "mpdd", "--into", into, "--accept-licence", code=2).output
    assert "is there already and was not made by this command" in there


def test_a_table_of_visa_with_shifted_fields_is_refused_by_line(tmp_path):
    visa_archive(tmp_path / "visa")
    table = next((tmp_path / "visa").rglob("1cls.csv"))
    table.write_text(table.read_text().replace(",normal,", ",normal,0,", 1))
    with pytest.raises(DataError, match=r"1cls\.csv, line 2: 6 fields .* header has 5"):
        visa(tmp_path / "visa", tmp_path / "target", "1cls")
    assert not (tmp_path / "target").exists()
