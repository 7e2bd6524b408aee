from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from apc_bench.datasets.geometry import Geometry
from apc_bench.errors import DamagedFile
from apc_bench.report.gallery import gallery_figure, gallery_systems
from apc_bench.report.selection import pick
from apc_bench.results.reading import read_results

Make = Callable[..., Any]


def drawn(figure: Figure) -> list[list[Any]]:
    """Axes by row; the colour bar left out."""
    columns = len([text for text in (axis.get_title() for axis in figure.axes) if text]) + 1
    axes = figure.axes[:-1]
    return [axes[start : start + columns] for start in range(0, len(axes), columns)]


def test_maps_are_scaled_by_their_own_calibration_and_share_one_colour_scale(
    make_run: Make, with_images: Any
) -> None:
    run = make_run(categories=("weave",), shots=(10,), tests=6)
    figure = gallery_figure(read_results(run), run, "weave", data=with_images(run))
    assert figure is not None
    rows = drawn(figure)
    chosen = pick(run.scores("apc-weave-10-0"), threshold=2.0)
    assert len(rows) == len(chosen)
    for row, choice in zip(rows, chosen, strict=True):
        for axis, key in zip(row[3:], ("patchcore-weave-0-0", "apc-weave-10-0"), strict=True):
            names, maps = run.maps(key)
            calibration = [
                score["score"] for score in run.score_rows[key] if score["split"] == "calibration"
            ]
            zero = float(np.median(np.array(calibration, np.float32)))
            expected = (maps[names.index(choice.image)] - zero) / (2.0 - zero)
            assert np.asarray(axis.images[0].get_array()) == pytest.approx(expected, rel=1e-5)
            assert axis.images[0].get_clim() == (-2, 4)


@pytest.mark.parametrize(
    ("threshold", "words"),
    [(2.0, "the calibrated threshold"), (None, "the largest calibration score")],
)
def test_the_caption_says_what_the_colours_and_the_rows_are(
    make_run: Make, threshold: float | None, words: str
) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    for row in run.metric_rows:
        row["threshold"] = threshold
    figure = gallery_figure(read_results(run), run, "weave", data=None)
    assert figure is not None
    caption = figure.get_supxlabel().replace("\n", " ")
    assert f"1: {words}" in caption
    assert "anomalous test image with the lowest score" in caption
    assert "one scale" in caption


def test_images_and_masks_are_shown_as_the_detector_saw_them(
    make_run: Make, with_images: Any
) -> None:
    from apc_bench.datasets.images import read_image
    from apc_bench.datasets.masks import read_mask

    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    run.run_json["settings"]["resize"] = "crop"
    folder = with_images(run)
    figure = gallery_figure(read_results(run), run, "weave", data=folder)
    assert figure is not None
    chosen = pick(run.scores("apc-weave-10-0"), threshold=2.0)[0]
    _, image, mask, *_ = drawn(figure)[0]
    geometry = Geometry(64, "crop")
    path = folder / "weave" / chosen.image
    assert np.array_equal(np.asarray(image.images[0].get_array()), geometry.apply(read_image(path)))
    expected = geometry.apply_mask(
        read_mask(
            folder
            / "weave"
            / chosen.image.replace("test/", "ground_truth/").replace(".png", "_mask.png"),
            None,
        )
    )
    assert np.array_equal(np.asarray(mask.images[0].get_array()), expected)


def test_without_images_there_are_named_placeholders(make_run: Make, with_images: Any) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    folder = with_images(run)
    first = pick(run.scores("apc-weave-10-0"), threshold=2.0)[0]
    (folder / "weave" / first.image).unlink()
    (
        folder
        / "weave"
        / first.image.replace("test/", "ground_truth/").replace(".png", "_mask.png")
    ).write_bytes(b"no image")
    for data, words in (
        (None, ["image\nnot at hand", "mask\nnot at hand"]),
        (folder, ["image\ncannot be read", "mask\ncannot be read"]),
    ):
        figure = gallery_figure(read_results(run), run, "weave", data=data)
        assert figure is not None
        label, image, mask, *_ = drawn(figure)[0]
        assert first.image.rsplit("/", 1)[-1] in label.texts[0].get_text()
        assert [image.texts[0].get_text(), mask.texts[0].get_text()] == words


def test_an_anomalous_image_without_a_mask_is_not_shown_as_normal(
    make_run: Make, with_images: Any
) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    for row in run.split_rows["weave"]:
        row["mask"] = None
    figure = gallery_figure(read_results(run), run, "weave", data=None)
    assert figure is not None
    assert drawn(figure)[0][2].texts[0].get_text() == "no\nmask"


def test_the_gallery_shows_the_baseline_and_fine_tuned_methods_at_their_largest_shots(
    make_run: Make,
) -> None:
    methods = {
        name: {"detector": name[:-1], "backbone": "builtin"}
        for name in ("patchcore1", "patchcore2", "apc1", "apc2")
    }
    shown = gallery_systems(read_results(make_run(methods=methods, shots=(1, 5), detail=False)))
    assert [(system.method, system.shots) for system in shown] == [
        ("patchcore1", 0),
        ("apc1", 5),
        ("apc2", 5),
    ]


def test_a_trial_that_is_missing_or_damaged_leaves_the_others_in_the_gallery(
    make_run: Make,
) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    good = run.maps

    def maps(result_key: str) -> tuple[list[str], np.ndarray]:
        if result_key.startswith("apc"):
            raise DamagedFile(f"{result_key}: altered")
        found: tuple[list[str], np.ndarray] = good(result_key)
        return found

    run.maps = maps
    figure = gallery_figure(read_results(run), run, "weave", data=None)
    assert figure is not None
    assert len(drawn(figure)[0]) == 4
    run.metric_rows = []
    run.score_rows = {}
    assert gallery_figure(read_results(run), run, "weave", data=None) is None


def test_a_damaged_split_leaves_the_masks_of_another_seed(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0, 1), tests=4)
    good = run.split

    def split(category: str, seed: int) -> Any:
        if seed == 0:
            raise DamagedFile("split: altered")
        return good(category, seed)

    run.split = split
    figure = gallery_figure(read_results(run), run, "weave", data=None)
    assert figure is not None
    assert drawn(figure)[0][2].texts[0].get_text() == "mask\nnot at hand"


def test_maps_without_a_spread_of_calibration_scores_are_still_finite(make_run: Make) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    for rows in run.score_rows.values():
        for row in rows:
            row["score"] = 1.0
    for row in run.metric_rows:
        row["threshold"] = 1.0
    figure = gallery_figure(read_results(run), run, "weave", data=None)
    assert figure is not None
    assert all(
        np.isfinite(np.asarray(axis.images[0].get_array())).all()
        for row in drawn(figure)
        for axis in row[3:]
    )


def test_a_data_folder_that_is_gone_gives_placeholders(make_run: Make, tmp_path: Path) -> None:
    run = make_run(categories=("weave",), shots=(10,), seeds=(0,), tests=4)
    figure = gallery_figure(read_results(run), run, "weave", data=tmp_path / "nothing here")
    assert figure is not None
    assert drawn(figure)[0][1].texts[0].get_text() == "image\ncannot be read"
