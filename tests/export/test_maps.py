"""Maps for other tools: where each pixel lies, and what cannot be exported."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score
from support import apc_bench

from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.masks import read_mask
from apc_bench.export.maps import at_original_size


@given(st.sampled_from(["square", "letterbox", "crop"]), st.integers(40, 300), st.integers(40, 300))
def test_a_map_lies_on_the_original_where_the_resize_had_put_it(
    resize, height: int, width: int
) -> None:
    place = Geometry(64, resize).place(height, width)
    rows, columns = np.mgrid[:64, :64].astype(np.float32) + 0.5
    for ramp, axis in ((rows, 0), (columns, 1)):
        found = at_original_size(
            np.ascontiguousarray(ramp),
            {name: getattr(place, name) for name in place.__slots__},
            fill=-1000.0,
        )
        assert found.shape == (height, width)
        length, resized, first = (
            (height, place.resized_height, place.top)
            if axis == 0
            else (width, place.resized_width, place.left)
        )
        wanted = (
            np.arange(length) + 0.5
        ) * resized / length + first  # where each original pixel lies in the input
        line = found[:, width // 2] if axis == 0 else found[height // 2]
        seen = (wanted > 1.5) & (wanted < 62.5)
        assert np.abs(line - wanted)[seen].max() <= 1.5  # a pixel of the input
        outside = (wanted < -1.5) | (wanted > 65.5)
        assert (line[outside] == -1000.0).all()


def test_maps_are_float_tiffs_of_the_original_size_in_mvtecs_layout(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    assert "part: 10 maps of patchcore, seed 3\n" in apc_bench("export", run, out).output
    images = sorted(
        path.relative_to(run.parent / "data")
        for path in (run.parent / "data" / "part" / "test").rglob("*.png")
    )
    assert (
        sorted(path.relative_to(out).with_suffix(".png") for path in out.rglob("*.tiff")) == images
    )
    about = json.loads((out / "export.json").read_text())
    assert (
        about["method"],
        about["shots"],
        about["seed"],
        about["categories"]["part"]["sigma"],
    ) == ("patchcore", 0, 3, 1.0)
    fill = about["categories"]["part"]["fill"]
    values, labels = [], []
    for image in images:
        with Image.open((out / image).with_suffix(".tiff")) as picture:
            map_ = np.asarray(picture)
        assert (map_.dtype, map_.shape) == (np.float32, (48, 48))
        assert (map_[:2] == np.float32(fill)).all()  # beyond the crop of 42 of 48 pixels
        assert (map_ >= np.float32(fill)).all()
        mask = run.parent / "data/part/ground_truth/dent" / f"{image.stem}_mask.png"
        values.append(map_)
        labels.append(read_mask(mask, None) if "dent" in image.parts else np.zeros((48, 48), bool))
    assert roc_auc_score(np.stack(labels).ravel(), np.stack(values).ravel()) > 0.9
    scores = pl.read_csv(out / "scores.csv")
    assert set(scores["split"]) == {"test", "reserved", "calibration"}


def test_what_cannot_be_exported_is_said_in_a_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for arguments, words in (
        ([tmp_path / "full"], "is there already and not empty"),
        ([tmp_path / "a", "--method", "patchcor"], "did you mean 'patchcore'?"),
        ([tmp_path / "a", "--shots", "5"], "no trials at 5 shots (has: 0;"),
        ([tmp_path / "a", "--seed", "0"], "no seed 0 (has: 3)"),
        ([tmp_path / "a", "--categories", "../part"], "unknown category '../part'"),
    ):
        assert words in apc_bench("export", run, *arguments, code=2).output
    assert not (tmp_path / "a").exists()


def test_a_report_without_images_and_elsewhere(run: Path, tmp_path: Path) -> None:
    apc_bench("report", run, "--without-images", "--out", tmp_path / "there")
    text = (tmp_path / "there" / "index.html").read_text()
    assert "image not at hand" in text
    assert "data:image/jpeg" not in text
    assert "no such folder" in apc_bench("report", run, "--data", tmp_path / "gone", code=2).output
