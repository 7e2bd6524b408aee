"""How many normal images calibrate a system's threshold, how many that takes, and what to say where
there are too few (docs/method.md section 5).
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apc_bench.datasets.hold_out import held_out_of, hold_out, teaches_normality
from apc_bench.datasets.places import is_plain_category
from apc_bench.datasets.plain import tested_of
from apc_bench.datasets.samples import Category
from apc_bench.metrics.exact import calibration_needed
from apc_bench.wording import counted, enumerated

FROZEN, FINE_TUNED = False, True

Systems = Mapping[bool, Sequence[str]]
"""What systems are called, by whether they are fine-tuned: of each kind all calibrate alike."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One category's, for systems of one kind. `images`: normal images that calibrate, the fewest
    of any seed, and how many are `needed`. `photos`: normal photos that are there to draw them
    from, and how many are `photos_needed` where each shows another part; `plain`: those of a plain
    folder, of which some are tested.
    """

    category: str
    systems: tuple[str, ...]
    images: int
    needed: int
    photos: int
    photos_needed: int
    false_alarms: float
    plain: bool

    @property
    def enough(self) -> bool:
        """Whether there is a threshold."""
        return self.images >= self.needed

    def sentence(self) -> str:
        """Whether there is a threshold, and what it takes."""
        who, one = enumerated(self.systems), len(self.systems) == 1
        rate = f"{100 * self.false_alarms:g} % false alarms take {self.needed}"
        if self.enough:
            verb = "calibrates" if one else "calibrate"
            return f"{who} {verb} a threshold on {self.images} normal images; {rate}"
        photos = f"{self.photos} {'good' if self.plain else 'normal training'} photos"
        if self.photos >= self.photos_needed:
            return (
                f"no threshold for {who}: photos of one part stay together, so {self.images} of"
                f" {photos} calibrate, {rate}; photograph more parts"
            )
        needs = "it needs" if one else "they need"
        return (
            f"no threshold for {who}: you have {photos}, {needs} {self.photos_needed}"
            f" ({self.images} of them calibrate, {rate})"
        )


def calibrations(
    category: Category,
    systems: Systems,
    *,
    dataset: str,
    seeds: Sequence[int],
    false_alarms: float,
) -> list[Calibration]:
    """Of each kind of systems; none where `nothing_to_hold_out` says why there is no threshold."""
    normal = [sample for sample in category.samples if teaches_normality(sample)]
    if len({sample.group for sample in normal}) < 2:
        return []
    held_out = min(len(hold_out(category, dataset, seed)) for seed in seeds)
    images = {FROZEN: len(normal), FINE_TUNED: held_out}
    plain = is_plain_category(category.folder)
    good = [sample for sample in category.samples if not sample.anomalous] if plain else normal
    needed = calibration_needed(false_alarms)
    return [
        Calibration(
            category=category.name,
            systems=tuple(names),
            images=images[kind],
            needed=needed,
            photos=len(good),
            photos_needed=photos_needed(needed, fine_tuned=kind, plain=plain),
            false_alarms=false_alarms,
            plain=plain,
        )
        for kind, names in systems.items()
        if names
    ]


def photos_needed(needed: int, *, fine_tuned: bool, plain: bool) -> int:
    """The fewest normal photos, each of another part, of which `needed` calibrate: of a plain
    folder all, else those to train on.
    """

    def calibrating(photos: int) -> int:
        training = photos - tested_of(photos) if plain else photos
        return held_out_of(training) if fine_tuned else training

    # No rule takes more than a tenth of seven tenths.
    return max(2, bisect_left(range(20 * needed + 2), needed, key=calibrating))


def in_a_sweep(found: Sequence[Calibration], limit: int = 8) -> Iterator[str]:
    """Lines on all categories of a sweep: how many images calibrate, and where that is too few."""
    if not found:
        return
    images: dict[tuple[str, ...], list[int]] = {}
    for one in found:
        images.setdefault(one.systems, []).append(one.images)
    parts = [f"{enumerated(systems)} {_range(numbers)}" for systems, numbers in images.items()]
    rate = f"{100 * found[0].false_alarms:g} % false alarms"
    yield (
        f"a threshold at {rate} takes {found[0].needed} normal images to calibrate with; there are:"
        f" {'; '.join(parts)}"
    )
    short = [one for one in found if not one.enough]
    for one in short[:limit]:
        yield f"{one.category}: {one.sentence()}"
    if len(short) > limit:
        rest = len({one.category for one in short[limit:]})
        yield f"no threshold in {counted(rest, 'more category', 'more categories')}"
    if short:
        yield (
            "without a threshold the ranking counts: AUROC with its interval, and the difference to"
            " PatchCore"
        )


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high} a category"
