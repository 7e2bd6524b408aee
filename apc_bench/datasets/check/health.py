"""The health of a dataset: every file inspected, and every fault of every category named."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from apc_bench.datasets.calibration import FINE_TUNED, FROZEN, calibrations
from apc_bench.datasets.check.files import CategoryFiles, files_of, walk
from apc_bench.datasets.check.findings import (
    ERROR,
    NOTE,
    THRESHOLD,
    WARNING,
    Finding,
    Health,
    about,
)
from apc_bench.datasets.check.inspect import Inspected, Photo, inspect
from apc_bench.datasets.check.masks import large_masks, mask_findings, partner_findings
from apc_bench.datasets.check.photos import (
    copies,
    drawings,
    lookalikes,
    oddities,
    readings,
    small_pool,
    small_range,
    unreadable,
)
from apc_bench.datasets.check.similar import alike
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.hold_out import nothing_to_hold_out
from apc_bench.datasets.layouts import read_dataset
from apc_bench.datasets.places import no_such_folder
from apc_bench.datasets.recognise import recognise
from apc_bench.datasets.samples import Category, Dataset
from apc_bench.datasets.unmasked import without_masks
from apc_bench.errors import DataError
from apc_bench.files.machine import usable_cores
from apc_bench.settings.anomalib import ANOMALIB
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.sweep import Sweep

Looks = Iterator[tuple[str, Inspected]]
Watch = Callable[[Looks, int, str], Looks]


def unwatched(looks: Looks, number: int, name: str) -> Looks:
    """The looks as they are."""
    return looks


def examine(
    root: Path,
    geometry: Geometry,
    reserve: int,
    bits: int | None = None,
    watch: Watch = unwatched,
) -> tuple[list[Health], list[Finding]]:
    """The health of each category, and findings on the dataset as a whole. `watch` is given the
    files of each category, as they are looked at, their number and its name. Raises DataError where
    there is no folder to look at.
    """
    if not root.is_dir():
        raise DataError(no_such_folder(root))
    try:
        categories, beside = walk(root)
        whole: list[Finding] = []
        systems: dict[str, list[Finding]] = {}
        try:
            dataset = read_dataset(root)
            systems = {one.name: list(_of_systems(one, dataset)) for one in dataset.categories}
            if not categories:  # of no layout of ours: a reader of another package knows it
                categories, beside = [files_of(category) for category in dataset.categories], {}
        except DataError as error:
            faults = [fault for files in categories for fault in files.faults]
            whole = [] if str(error) in faults else [Finding(ERROR, "layout", str(error))]
        healths = [_examine(files, geometry, reserve, bits, watch) for files in categories]
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None
    for health in healths:
        health.findings.extend(systems.get(health.name, ()))
    return healths, [*about(NOTE, "passed over", "not read by any sweep", beside), *whole]


def _of_systems(category: Category, dataset: Dataset) -> Iterator[Finding]:
    """What our systems make of a category without masks; and whether its normal images suffice to
    calibrate a threshold, for systems of each kind, or why none can.
    """
    ours = {name: one() for name, one in DETECTORS.items() if name != ANOMALIB}
    unmasked = None if category.masked else without_masks(ours)
    if unmasked:
        yield Finding(NOTE, "no masks", unmasked)
    if reason := nothing_to_hold_out(category.samples):
        yield Finding(WARNING, THRESHOLD, reason)
    systems = {
        kind: [name for name, one in ours.items() if one.holds_out == kind]
        for kind in (FROZEN, FINE_TUNED)
    }
    usual = Sweep.model_fields
    for found in calibrations(
        category,
        systems,
        dataset=dataset.name,
        seeds=usual["seeds"].default,
        false_alarms=usual["false_alarms"].default,
    ):
        yield Finding(NOTE if found.enough else WARNING, THRESHOLD, found.sentence())


def _examine(
    files: CategoryFiles, geometry: Geometry, reserve: int, bits: int | None, watch: Watch
) -> Health:
    masks = [mask for names in files.masks.values() for mask in names]
    owners = {mask: files.pairs.owner.get(mask) for mask in masks}
    encoding = recognise(
        files.folder,
        list(files.images),
        [(image, mask) for mask, image in owners.items() if image],
        bits=bits,
        threads=usable_cores().amount,
    )
    looks = inspect(files.folder, list(files.images), owners, encoding, geometry)
    facts = dict(watch(looks, len(files.images) + len(masks), files.name))
    photos: dict[str, Photo] = {}
    for name in files.images:
        photo = facts[name]
        if isinstance(photo, Photo):
            photos[name] = photo
    names = list(photos)
    similar = alike([photo.sketch for photo in photos.values()])
    groups = [[names[index] for index in group] for group in similar]
    findings = [
        *(Finding(ERROR, "layout", fault) for fault in files.faults),
        *(Finding(NOTE, "read as", remark) for remark in files.remarks),
        *unreadable(facts),
        *partner_findings(files),
        *mask_findings(files, facts, encoding.refused),
        *large_masks(files, facts),
        *drawings(photos),
        *copies(files, photos),
        *lookalikes(files, photos, groups),
        *readings(encoding),
        *small_range(photos),
        *oddities(files, photos),
        *small_pool(files, reserve),
    ]
    return Health(
        files.name,
        dict(files.counts(training=True)),
        dict(files.counts(training=False)),
        dict(Counter(photo.size for photo in photos.values()).most_common()),
        dict(Counter(photo.mode for photo in photos.values()).most_common()),
        findings,
        groups,
    )
