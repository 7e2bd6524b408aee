"""Who trains and who is tested: reserve, draws, hold-out and the leak check (docs/method.md section
5). Pure functions of names and seeds.

Random choices are orders by a hash (order.py) of dataset, category, seed and what is chosen. Each
protocol (settings/protocols.py) has its way of drawing in DRAWS.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apc_bench.datasets.fitting import has_own_pool, in_words, parts_in, pool_of, way_out
from apc_bench.datasets.hold_out import hold_out, teaches_normality
from apc_bench.datasets.order import random_order
from apc_bench.datasets.samples import Category, Sample
from apc_bench.errors import DataError, unknown
from apc_bench.settings.protocols import CrossFit, EvaluationProtocol, Holdout


@dataclass(frozen=True, slots=True)
class Assigned:
    """One sample's place in the split of a (category, seed).

    `split`: train (normal training image), reserved (drawn, or of the group of a drawn image),
    test. `draw`: position in the reserve, None for all others. `held_out`: a normal training image
    that a fine-tuned detector keeps for calibration.
    """

    sample: Sample
    sha256: str
    split: str
    draw: int | None
    held_out: bool


@dataclass(frozen=True, slots=True)
class Split:
    """The split of one category under one seed: rows in the order of the category's samples; the
    same for every method and shot count.
    """

    dataset: str
    category: str
    seed: int
    reserve: int
    rows: tuple[Assigned, ...]

    def drawn(self, shots: int | None) -> list[int]:
        """Rows of the first `shots` images of the reserve, in the order of the draw; None: all."""
        by_draw = {row.draw: index for index, row in enumerate(self.rows) if row.draw is not None}
        return [by_draw[draw] for draw in sorted(by_draw)[:shots]]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Of the rows."""
        return tuple(row.sample for row in self.rows)

    @property
    def masks(self) -> dict[str, tuple[str, ...]]:
        """Image -> its masks, as in the samples."""
        return {row.sample.image: row.sample.masks for row in self.rows}

    def where(self, split: str) -> list[int]:
        """Rows of `train`, `reserved` or `test`."""
        return [index for index, row in enumerate(self.rows) if row.split == split]


def make_split(
    category: Category,
    hashes: Mapping[str, str],
    protocol: EvaluationProtocol,
    *,
    dataset: str,
    seed: int,
) -> Split:
    """Draws the images that shots are a prefix of, and the hold-out. `hashes`: image -> sha256.

    The groups of drawn images leave the test set, and so do the defect types that the protocol does
    not test. Where the dataset brings anomalous training images, they alone are the pool of draws,
    and the test set is its own for all shots.

    Raises DataError when there are too few groups of anomalous images, when no anomalous or no
    normal test image would be left, or when no normal training image is there (all of them
    unreadable, say).
    """
    if not any(teaches_normality(sample) for sample in category.samples):
        raise DataError(f"category '{category.name}': no normal training image is left")
    draws = DRAWS[protocol.name](protocol, category, dataset, seed)
    position = {sample.image: index for index, sample in enumerate(draws)}
    drawn_groups = {sample.group for sample in draws}
    held_out = hold_out(category, dataset, seed)

    def part_of(sample: Sample) -> str:
        if teaches_normality(sample):
            return "train"
        if sample.group in drawn_groups:
            return "reserved"
        untested = sample.training or not protocol.tests(sample.defect_type)
        return "reserved" if sample.anomalous and untested else "test"

    rows = []
    for sample in category.samples:
        image = sample.image
        draw, held = position.get(image), image in held_out
        rows.append(Assigned(sample, hashes[image], part_of(sample), draw, held))
    split = Split(dataset, category.name, seed, protocol.reserve, tuple(rows))
    for kind, anomalous in (("anomalous", True), ("normal", False)):
        if not any(row.split == "test" and row.sample.anomalous == anomalous for row in rows):
            reason = protocol.no_test_image(kind, seed)
            raise DataError(f"category '{category.name}': {reason}")
    check_leaks(split)
    return split


def images_to_draw(
    category: Category, protocol: EvaluationProtocol, *, dataset: str, seed: int
) -> int:
    """How many images shots are drawn from; no file is opened. Raises DataError for too few."""
    return len(DRAWS[protocol.name](protocol, category, dataset, seed))


class SplitsBySeed(Mapping[int, Split]):
    """The splits of a category by seed, each made (`make_split`) when it is first asked for: a
    sweep that goes on may have a hundred seeds, and needs those of the steps that are left.
    """

    def __init__(self, seeds: Sequence[int], make: Callable[..., Split]) -> None:
        self._seeds = seeds
        self._make = make
        self._made: dict[int, Split] = {}

    def __getitem__(self, seed: int) -> Split:
        if seed not in self._made:
            if seed not in self._seeds:
                raise KeyError(seed)
            self._made[seed] = self._make(seed=seed)
        return self._made[seed]

    def __iter__(self) -> Iterator[int]:
        return iter(self._seeds)

    def __len__(self) -> int:
        return len(self._seeds)


def check_leaks(split: Split) -> None:
    """Compares files, content hashes and groups of what may train (normal training images, reserve)
    with the test set.

    Raises DataError that names the first pair of each kind of leak.
    """
    test = [row for row in split.rows if row.split == "test"]
    by_file = {row.sample.image: row for row in test}
    by_content = {row.sha256: row for row in test}
    by_group = {row.sample.group: row for row in test}
    for row in split.rows:
        if row.split == "test":
            continue
        for kind, twin in (
            ("the same file", by_file.get(row.sample.image)),
            ("the same content", by_content.get(row.sha256)),
            ("the same group", by_group.get(row.sample.group)),
        ):
            if twin is not None:
                raise DataError(
                    f"leak in category '{split.category}', seed {split.seed}: {row.sample.image}"
                    f" ({row.split}) and {twin.sample.image} (test) are {kind}; remove one of them,"
                    " or name them as one group of the same split in groups.csv"
                )


def draw_reserve(protocol: Holdout, category: Category, dataset: str, seed: int) -> list[Sample]:
    """Hold-out: `reserve` anomalous images, at most one of a group, floor(reserve / types) of each
    defect type and the rest at random, in an order that runs over the types in turn, so that a
    prefix is spread over them too. Raises DataError for an unseen type that is not there, or where
    the groups do not suffice.
    """
    pool = category if protocol.unseen is None else _without(category, protocol.unseen)
    photos, apart = pool_of(pool), protocol.unseen is not None or has_own_pool(pool)
    parts = parts_in(photos)
    if parts < protocol.reserve + (0 if apart else 1):  # one must be left to test
        raise DataError(
            f"category '{category.name}' has {in_words(photos)}, too few for a reserve of"
            f" {protocol.reserve}, which shots are drawn from; {way_out(parts, apart=apart)}"
        )
    return _draw(pool, _key(category, dataset, seed), protocol.reserve)


def draw_other_folds(
    protocol: CrossFit, category: Category, dataset: str, seed: int
) -> list[Sample]:
    """Cross-fitting: one image of each anomalous group that is not of the seed's fold, in the order
    of a draw. Raises DataError where there are fewer groups than folds.
    """
    assignment, fold = divmod(seed, protocol.folds)
    folds = _dealt(category, _key(category, dataset, assignment), protocol.folds)
    others = tuple(sample for sample in category.samples if sample.group not in folds[fold])
    groups = {sample.group for sample in others if sample.anomalous}
    return _draw(
        replace(category, samples=others), _key(category, dataset, seed), reserve=len(groups)
    )


Draw = Callable[[Any, Category, str, int], list[Sample]]
DRAWS: dict[str, Draw] = {Holdout.name: draw_reserve, CrossFit.name: draw_other_folds}
"""A protocol's name -> its draw (protocol, category, dataset, seed), in the order of the shots."""


def _key(category: Category, dataset: str, seed: int) -> tuple[str, str, str]:
    return dataset, category.name, str(seed)


def _draw(category: Category, key: tuple[str, ...], reserve: int) -> list[Sample]:
    """`reserve` anomalous images of as many groups, spread over the defect types."""
    by_image = {sample.image: sample for sample in pool_of(category)}
    images_of: dict[str, list[str]] = defaultdict(list)
    for image, sample in by_image.items():
        images_of[sample.defect_type].append(image)
    taken: list[Sample] = []
    used: set[str] = set()

    def take(images: list[str]) -> None:
        """The first image of a group that is not used yet."""
        free = next((image for image in images if by_image[image].group not in used), None)
        if free is not None and len(taken) < reserve:
            taken.append(by_image[free])
            used.add(by_image[free].group)

    pools = [
        random_order(images_of[kind], *key, "draw")
        for kind in random_order(images_of, *key, "types")
    ]
    for _ in range(reserve // max(1, len(pools))):
        for pool in pools:
            take(pool)
    rest = random_order(by_image, *key, "rest")
    for _ in range(reserve - len(taken)):
        take(rest)
    return taken


def _dealt(category: Category, key: tuple[str, ...], folds: int) -> list[set[str]]:
    """Groups of anomalous images, dealt to the folds one by one, all of a defect type before the
    next: so each type is spread over the folds.
    """
    if has_own_pool(category):
        raise DataError(
            f"category '{category.name}' has a test set of its own and anomalous training images;"
            " pass --protocol holdout"
        )
    type_of: dict[str, str] = {}
    for sample in category.samples:
        if sample.anomalous:
            type_of.setdefault(sample.group, sample.defect_type)
    if len(type_of) < folds:
        hint = f"pass --folds {len(type_of)}" if len(type_of) > 1 else "photograph more defects"
        raise DataError(
            f"category '{category.name}': {folds} folds need {folds} groups of anomalous images,"
            f" there are {len(type_of)}; {hint}"
        )
    groups_of: dict[str, list[str]] = defaultdict(list)
    for group, kind in type_of.items():
        groups_of[kind].append(group)
    deck: list[str] = []
    for kind in sorted(groups_of):
        deck += random_order(groups_of[kind], *key, "folds")
    return [set(deck[fold::folds]) for fold in range(folds)]


def _without(category: Category, unseen: str) -> Category:
    """The category without a defect type. Raises DataError where there is no such type, or no
    other.
    """
    types = {sample.defect_type for sample in category.samples if sample.anomalous}
    if unseen not in types:
        raise DataError(f"category '{category.name}': {unknown('defect type', unseen, types)}")
    if len(types) == 1:
        raise DataError(
            f"category '{category.name}' has no defect type but '{unseen}': nothing could be drawn"
        )
    return replace(
        category,
        samples=tuple(sample for sample in category.samples if sample.defect_type != unseen),
    )
