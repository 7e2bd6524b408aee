"""Who trains and who is tested: reserve, draws, hold-out and the leak check (docs/method.md section
5). Pure functions of names and seeds.

Random choices are orders by a hash of (dataset, category, seed, what is chosen), so that they
depend neither on the order of a folder's listing nor on a library's generator.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from apc_bench.datasets.layouts import Category, Sample
from apc_bench.errors import DataError, listed, unknown

HELD_OUT_MIN = 20
HELD_OUT_SHARE = 0.1


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
        """Rows of the first `shots` images of the reserve, in the order of the draw."""
        order = sorted(
            (row.draw, index) for index, row in enumerate(self.rows) if row.draw is not None
        )
        return [index for _, index in order[:shots]]

    def where(self, split: str) -> list[int]:
        """Rows of `train`, `reserved` or `test`."""
        return [index for index, row in enumerate(self.rows) if row.split == split]


def make_split(
    category: Category,
    hashes: Mapping[str, str],
    *,
    dataset: str,
    seed: int,
    reserve: int,
    unseen: str | None = None,
    folds: int | None = None,
) -> Split:
    """Draws the reserve and the hold-out. `hashes`: image -> sha256.

    The reserve: `reserve` anomalous images, at most one of a group, floor(reserve / types) of each
    defect type and the rest at random; its order runs over the types in turn, so that a prefix is
    spread over them too. The groups of drawn images leave the test set. Where the dataset brings
    anomalous training images, they alone are the pool, and the test set is its own for all shots.
    `unseen`: a defect type that nothing is drawn from; then the other types leave the test set, so
    that it alone is tested. `folds`: cross-fitting instead of a reserve. The groups of anomalous
    images are dealt to that many folds, type by type; fold seed mod folds of assignment seed div
    folds is tested, one image of each other group is drawn. Raises DataError when there are too few
    groups of anomalous images, when no anomalous or no normal test image would be left, or when no
    normal training image is there (all of them unreadable, say).
    """
    if not any(sample.training and not sample.anomalous for sample in category.samples):
        raise DataError(f"category '{category.name}': no normal training image is left")
    key = (dataset, category.name, str(seed))
    if folds is None:
        draws = _draw(_without(category, unseen) if unseen else category, key, reserve)
    else:
        draws = _draw_others(
            category,
            key,
            _dealt(category, (dataset, category.name, str(seed // folds)), folds)[seed % folds],
        )
    position = {sample.image: index for index, sample in enumerate(draws)}
    gone = {sample.group for sample in draws}
    held_out = _hold_out(category, key)
    rows = []
    for sample in category.samples:
        elsewhere = sample.anomalous and (
            sample.training or unseen not in (None, sample.defect_type)
        )
        learned = sample.training and not sample.anomalous
        part = "train" if learned else "reserved" if sample.group in gone or elsewhere else "test"
        rows.append(
            Assigned(
                sample,
                hashes[sample.image],
                part,
                position.get(sample.image),
                sample.image in held_out,
            )
        )
    for anomalous, kind in ((True, "anomalous"), (False, "normal")):
        if not any(row.split == "test" and row.sample.anomalous == anomalous for row in rows):
            raise DataError(
                f"category '{category.name}': fold {seed % folds} of {folds} has no {kind} test"
                " image; photograph more parts"
                if folds
                else (
                    f"category '{category.name}': a reserve of {reserve} would leave no {kind} test"
                    " image; lower --reserve (--protocol crossfit is for those who have no photos"
                    " to spare)"
                )
            )
    split = Split(dataset, category.name, seed, reserve, tuple(rows))
    check_leaks(split)
    return split


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


def _order(key: Sequence[str], purpose: str, names: Sequence[str]) -> list[str]:
    """The names in a random order that depends on key, purpose and each name alone."""
    return sorted(
        names, key=lambda name: hashlib.sha256("\x1f".join((*key, purpose, name)).encode()).digest()
    )


def _draw(category: Category, key: Sequence[str], reserve: int) -> list[Sample]:
    """The reserve in the order of the draw."""
    pools: dict[str, list[Sample]] = {}
    by_image = {sample.image: sample for sample in pool_of(category)}
    types = _order(key, "types", sorted({sample.defect_type for sample in by_image.values()}))
    for kind in types:
        images = [image for image, sample in by_image.items() if sample.defect_type == kind]
        pools[kind] = [by_image[image] for image in _order(key, "draw", images)]
    taken: list[Sample] = []
    used: set[str] = set()

    def take(pool: list[Sample]) -> None:
        free = next((sample for sample in pool if sample.group not in used), None)
        if free is not None and len(taken) < reserve:
            taken.append(free)
            used.add(free.group)

    for _ in range(reserve // max(1, len(types))):
        for kind in types:
            take(pools[kind])
    rest = [by_image[image] for image in _order(key, "rest", list(by_image))]
    for _ in range(reserve - len(taken)):
        take(rest)
    if len(taken) < reserve:
        raise DataError(
            f"category '{category.name}': a reserve of {reserve} needs {reserve} groups of"
            f" anomalous images, there are {len(taken)} (images:"
            f" {listed(f'{kind} {len(pool)}' for kind, pool in sorted(pools.items()))}); lower"
            " --reserve, or pass --protocol crossfit where there are no photos to spare"
        )
    return taken


def _dealt(category: Category, key: Sequence[str], folds: int) -> list[set[str]]:
    """Groups of anomalous images, dealt to the folds one by one, all of a defect type before the
    next: so each type is spread over the folds.
    """
    if any(sample.training for sample in pool_of(category)):
        raise DataError(
            f"category '{category.name}' has a test set of its own and anomalous training images;"
            " pass --protocol holdout"
        )
    kinds = {
        sample.group: sample.defect_type
        for sample in reversed(category.samples)
        if sample.anomalous
    }
    if len(kinds) < folds:
        hint = f"pass --folds {len(kinds)}" if len(kinds) > 1 else "photograph more defects"
        raise DataError(
            f"category '{category.name}': {folds} folds need {folds} groups of anomalous images,"
            f" there are {len(kinds)}; {hint}"
        )
    deck = [
        group
        for kind in sorted(set(kinds.values()))
        for group in _order(key, "folds", [g for g in kinds if kinds[g] == kind])
    ]
    return [set(deck[fold::folds]) for fold in range(folds)]


def _draw_others(category: Category, key: Sequence[str], tested: set[str]) -> list[Sample]:
    """An anomalous image of every group that is not tested, in the order of a draw."""
    others = replace(
        category, samples=tuple(sample for sample in category.samples if sample.group not in tested)
    )
    groups = {sample.group for sample in others.samples if sample.anomalous}
    return _draw(others, key, len(groups))


def pool_of(category: Category) -> list[Sample]:
    """The anomalous images that draws are made from: the dataset's own training ones, or else the
    test set's.
    """
    anomalous = [sample for sample in category.samples if sample.anomalous]
    return [sample for sample in anomalous if sample.training] or anomalous


def _without(category: Category, unseen: str) -> Category:
    """The category without a defect type. Raises DataError where there is no such type, or no
    other.
    """
    types = sorted({sample.defect_type for sample in category.samples if sample.anomalous})
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


def _hold_out(category: Category, key: Sequence[str]) -> set[str]:
    """Normal training images that fine-tuned detectors keep for calibration: whole groups, max(20,
    10 %) images but at most half of them.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for sample in category.samples:
        if sample.training and not sample.anomalous:
            groups[sample.group].append(sample.image)
    total = sum(len(images) for images in groups.values())
    wanted = min(max(HELD_OUT_MIN, round(HELD_OUT_SHARE * total)), total // 2)
    held: set[str] = set()
    for group in _order(key, "hold-out", list(groups)):
        if len(held) < wanted and len(held) + len(groups[group]) <= total // 2:
            held.update(groups[group])
    return held
