"""One image of a run as pictures of the photo's size: photo, mask, and of each system its map and
the map over the photo, in the colours of the page.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from apc_bench.errors import DataError, RunError
from apc_bench.export.chosen import Choice
from apc_bench.export.folder import new_folder
from apc_bench.export.maps import at_original_size
from apc_bench.export.named import NamedImage, find_image
from apc_bench.metrics.evaluation import pixel_scores
from apc_bench.report.figure_style import file_name
from apc_bench.report.pictures import NO_MASK, RGB, Mask, Photos, photos_of
from apc_bench.report.scaled_maps import COLOURS, HIGH, LOW, ScaledMaps, read_scaled_maps
from apc_bench.results.aggregate import Results, System
from apc_bench.results.run_reader import RunReader

SHARE = 0.55
"""How much of an overlay is the map; the rest is the photo, in grey."""

COLOUR_WORDS = (
    f"{COLOURS} from {LOW} to {HIGH}: 0 is the median of the system's calibration scores (of its"
    " test scores, where it has none), 1 is what 'one' says"
)

LINES_A_SIDE = 300
"""So many widths of the mask's outline are as long as the photo's longer side."""


def export_pictures(
    results: Results,
    run: RunReader,
    image: str,
    choice: Choice,
    data: Path | None,
    out: Path,
) -> Iterator[str]:
    """Of the test image of that name (named.py) writes OUT/photo.png, OUT/mask.png where it has a
    mask, of each system OUT/map-*.png and OUT/overlay-*.png, and OUT/about.json; says what, a line
    a system. `data`: the dataset's folder, None where it is not known.

    Raises UsageError for a name of no image or of several and where `out` holds anything, DataError
    where the photo is not at hand, RunError where no system has a map of it, StorageError.
    """
    systems = choice.systems(results)
    named = find_image(results, run, image, choice)
    photos = photos_of(results, run, named.category, data)
    photo = _photo(photos, named)
    with new_folder(out) as folder:
        Image.fromarray(photo).save(folder / "photo.png")
        mask = photos.original_mask(named.image)
        if not isinstance(mask, str):
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "mask.png")
        elif mask != NO_MASK:
            yield f"{named.whole}: {mask}"
        about: dict[str, Any] = {}
        for system in systems:
            drawn = _Drawn.of(results, run, named, system)
            if isinstance(drawn, str):
                yield f"{system.label}: no map, {drawn}"
                continue
            about[system.label] = drawn.save(folder, photo, mask)
            yield f"{system.label}: {drawn.words}"
        if not about:
            raise RunError(f"no map of {named.whole} at {results.seed_words[0]} {named.seed}")
        told = {
            "dataset": results.dataset,
            "category": named.category,
            "image": named.image,
            results.seed_words[0]: named.seed,
            "colours": COLOUR_WORDS,
            "systems": about,
        }
        text = json.dumps(told, indent=2, ensure_ascii=False)
        (folder / "about.json").write_text(text + "\n", encoding="utf-8")
    yield f"pictures of {named.whole}, {results.seed_words[0]} {named.seed}: {out}"


def _photo(photos: Photos, named: NamedImage) -> RGB:
    photo = photos.original(named.image)
    if not isinstance(photo, str):
        return photo
    if photos.folder is None:
        raise DataError(
            "the run does not say where its photos lie; name the folder with --data DIR"
        )
    path = photos.folder / named.image
    why = "cannot be read" if path.is_file() else "is not at hand"
    raise DataError(f"the photo {path} {why}; --data DIR names another folder of the dataset")


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A system's map of the image: (h, w) float32 on the scale of the page's colours, NaN where the
    input does not reach; `row`: of its scores.
    """

    scaled: NDArray[np.float32]
    maps: ScaledMaps
    row: dict[str, Any]

    @classmethod
    def of(
        cls, results: Results, run: RunReader, named: NamedImage, system: System
    ) -> "_Drawn | str":
        """Of one system, or why it has none."""
        trial = results.trials.get((system, named.category, named.seed))
        if trial is None or trial.result_key is None:
            return trial.missing or "not there" if trial else f"not at seed {named.seed}"
        maps = read_scaled_maps(system, trial, run, {named.image})
        if maps is None:
            return "its files cannot be read"
        if named.image not in maps.maps:
            return "none was kept"
        row = next(row for row in maps.table.to_dicts() if row["image"] == named.image)
        grown = pixel_scores(maps.maps[named.image][None], int(results.settings["image_size"]), 0.0)
        return cls(at_original_size(grown[0], row, np.nan), maps, row)

    @property
    def words(self) -> str:
        """Its score, as the page has it, and what it is to be held against."""
        score, threshold = self.row["score"], self.maps.threshold
        near = threshold is not None and f"{score:.4g}" == f"{threshold:.4g}"
        digits = 9 if near else 4
        against = "no threshold"
        if threshold is not None:
            sign = "above" if score > threshold else "not above"
            against = f"{sign} the threshold {threshold:.{digits}g}"
        seen = "; it learned from this image" if self.row["split"] == "drawn" else ""
        return f"score {score:.{digits}g}, {against}{seen}"

    def save(self, folder: Path, photo: RGB, mask: Mask | str) -> dict[str, Any]:
        """Writes the map and the overlay; what about.json says of them."""
        name = file_name(self.maps.system.label.replace(", ", "-").replace(" ", "-"))
        there = np.isfinite(self.scaled)
        if there.shape != photo.shape[:2]:
            height, width = photo.shape[:2]
            raise DataError(
                f"the photo has {width} × {height} pixels now, and {there.shape[1]} ×"
                f" {there.shape[0]} in the run; --data DIR names the folder that was swept"
            )
        share = np.clip((np.where(there, self.scaled, LOW) - LOW) / (HIGH - LOW), 0, 1)
        coloured = (colormaps[COLOURS](share)[..., :3] * 255).round().astype(np.uint8)
        Image.fromarray(coloured).save(folder / f"map-{name}.png")
        over = _over(photo, coloured, there)
        if not isinstance(mask, str):
            over[_outline(mask)] = 255
        Image.fromarray(over).save(folder / f"overlay-{name}.png")
        return {
            "map": f"map-{name}.png",
            "overlay": f"overlay-{name}.png",
            "score": self.row["score"],
            "threshold": self.maps.threshold,
            "one": self.maps.one,
        }


def _over(photo: RGB, coloured: RGB, there: Mask) -> RGB:
    """The map over the grey photo, (h, w, 3) uint8; the photo alone where there is no map."""
    grey = np.asarray(Image.fromarray(photo).convert("L"), np.float32)[..., None]
    mixed = SHARE * coloured + (1 - SHARE) * grey
    return np.where(there[..., None], mixed, photo).round().astype(np.uint8)


def _outline(mask: Mask) -> Mask:
    """The line around the mask's areas, within them."""
    width = max(1, round(max(mask.shape) / LINES_A_SIDE))
    edge = mask & ~binary_erosion(mask, iterations=width)
    return np.asarray(edge, np.bool_)
