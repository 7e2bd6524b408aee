"""Image scores of a method that is not ours: a CSV file whose rows are matched with the images of
the dataset, each with exactly one.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from apc_bench.datasets.tree import composed
from apc_bench.errors import DataError, listed
from apc_bench.files.csv_tables import CsvTable, decimal_sign, number, read_csv_table

IMAGE, SCORE = ("image", "image_path", "path"), ("score", "anomaly_score", "pred_score")
CALIBRATION = "calibration"
SPLITS = ("", "test", "drawn", "reserved", "train", CALIBRATION)

Images = Mapping[str, Collection[str]]
"""Category -> its images, relative to it."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """(category, image) -> score of the images to test, and of normal images that calibrate a
    threshold: training images that the method did not learn from. `strangers`: rows that are of no
    image of the dataset.
    """

    test: dict[tuple[str, str], float]
    calibration: dict[tuple[str, str], float]
    strangers: tuple[str, ...] = ()

    def calibration_of(self, category: str) -> dict[str, float]:
        """Image -> score of a category's calibration images."""
        own = {}
        for (place, image), score in self.calibration.items():
            if place == category:
                own[image] = score
        return own


def read_scores(path: Path, images: Images) -> ImageScores:
    """A CSV file with the columns image and score, and category unless the image's path holds it; a
    row whose `split` is calibration calibrates.

    Raises DataError in one line that names what is wrong: also an image that may be of several
    categories.
    """
    table = read_csv_table(path)
    columns = _columns(table)
    cells = [(row.where, row.cells[columns["score"]]) for row in table.rows]
    sign = "." if table.separator == "," else decimal_sign(path, cells)
    by_name = {
        category: {composed(image): image for image in own} for category, own in images.items()
    }
    scores = ImageScores({}, {})
    wrong: list[str] = []
    strangers: list[str] = []
    for row in table.rows:
        own = {name: row.cells[column] for name, column in columns.items()}
        image, split = own["image"], own.get("split", "").casefold()
        places = sorted(set(_places(composed(image), own.get("category", ""), by_name)))
        place = places[0] if places else ("", image)
        value = number(own["score"], sign)
        into = scores.calibration if split == CALIBRATION else scores.test
        if value is None:
            wrong.append(f"{row.where}: {image} ({own['score']!r})")
        elif split not in SPLITS:
            wrong.append(f"{row.where}: {image} (split {own['split']!r})")
        elif len(places) > 1:
            may_be = " or ".join("/".join(one) for one in places)
            wrong.append(f"{row.where}: {image} (may be {may_be})")
        elif place in into:
            wrong.append(f"{row.where}: {image} (twice)")
        else:
            into[place] = value
            if not places:
                strangers.append(f"{row.where}: {image}")
    if wrong:
        raise DataError(
            f"{path}: {len(wrong)} rows without one finite score of one image: {listed(wrong, 4)}"
        )
    return ImageScores(scores.test, scores.calibration, tuple(strangers))


def _columns(table: CsvTable) -> dict[str, str]:
    """What a column means -> what it is called. Raises DataError."""
    called = {name.casefold(): name for name in table.columns}
    meant = {"image": IMAGE, "score": SCORE, "category": ("category",), "split": ("split",)}
    columns: dict[str, str] = {}
    for meaning, names in meant.items():
        found = [called[name] for name in names if name in called]
        if len(found) > 1 and meaning == "score":
            raise DataError(f"{table.path}: {listed(found)} are all scores; keep one of them")
        if found:
            columns[meaning] = found[0]
    if not {"image", "score"} <= columns.keys():
        got = listed(name for name in table.columns if name) or "none"
        raise DataError(f"{table.path}: needs the columns image and score (got {got})")
    return columns


def _places(
    name: str, category: str, images: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    """(category, image relative to it) of every image that a row may be of:
    `bottle/test/crack/000.png`, also with folders before it. `images`: each by its composed name.
    """
    parts = name.replace("\\", "/").split("/")
    for known in [category] if category else images:
        own = images.get(known, {})
        if (category or len(images) == 1) and "/".join(parts) in own:
            yield known, own["/".join(parts)]
        for position, part in enumerate(parts[:-1]):
            rest = "/".join(parts[position + 1 :])
            if part == known and rest in own:
                yield known, own[rest]
