"""A look at every file of a dataset before the first step: hashed, understood and decoded, and what
cannot be read named.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from apc_bench.datasets.decoding import Decoded
from apc_bench.datasets.encoding import Encoding
from apc_bench.datasets.geometry import Geometry
from apc_bench.datasets.masks import suspicious_masks
from apc_bench.datasets.samples import Category, Dataset
from apc_bench.errors import DataError, listed
from apc_bench.files.machine import usable_cores
from apc_bench.plan import fingerprint
from apc_bench.settings.sweep import Sweep
from apc_bench.store.cache import Cache
from apc_bench.store.decoded import UnreadableFiles, decoded
from apc_bench.store.encodings import encoding_of
from apc_bench.wording import counted

Say = Callable[[str], None]


@dataclass(slots=True)
class Scan:
    """What a look at every file gave: the usable categories and, by name, hashes, fingerprint,
    files left out and masks emptied.
    """

    categories: list[Category] = field(default_factory=list)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    emptied: dict[str, list[str]] = field(default_factory=dict)

    @property
    def encodings(self) -> dict[str, Encoding]:
        """By category."""
        return {category.name: category.encoding for category in self.categories}

    def add(self, category: Category, hashes: dict[str, str], left_out: dict[str, str]) -> None:
        """Takes a category in, without the images that are left out."""
        name = category.name
        self.categories.append(category)
        self.hashes[name] = hashes
        self.fingerprints[name] = fingerprint(category, hashes, left_out)
        if left_out:
            self.left_out[name] = left_out


def scan_files(sweep: Sweep, dataset: Dataset, cache: Cache, *, say: Say, dry: bool) -> Scan:
    """Hashes every file, and decodes every category into the cache: what cannot be read is found
    before the first step. `dry`: decodes no more than what the files mean takes (recognise.py).
    Raises DataError.
    """
    scan, unreadable = Scan(), []
    geometry = Geometry.of(sweep)
    for category in dataset.categories:
        hashes = _hashes(category, cache)
        category = _understood(sweep, category, hashes, cache, say=say)
        left_out: dict[str, str] = {}
        if dry and category.encoding.refused and not sweep.skip_unreadable:
            unreadable.append(UnreadableFiles(category.name, _refused(category)))
        if not dry:
            try:
                images = decoded(cache, category, fingerprint(category, hashes, {}), geometry)
            except UnreadableFiles as error:
                if not sweep.skip_unreadable:
                    unreadable.append(error)
                    continue
                left_out = error.reasons
                images_left = counted(len(left_out), "image")
                why = listed(left_out.values())
                say(
                    f"category '{category.name}': left out {images_left} (--skip-unreadable): {why}"
                )
                category = _without(category, left_out)
                print_ = fingerprint(category, hashes, left_out)
                images = decoded(cache, category, print_, geometry)
            _warn_of_masks(category, images, say=say)
            emptied = _emptied(category, images)
            if emptied:
                scan.emptied[category.name] = emptied
        scan.add(category, hashes, left_out)
    if unreadable:
        raise DataError("; ".join(str(error) for error in unreadable))
    return scan


def _understood(
    sweep: Sweep, category: Category, hashes: Mapping[str, str], cache: Cache, *, say: Say
) -> Category:
    """The category with the meaning of its files, which is said where it is not plain."""
    content = fingerprint(category, hashes, {})
    encoding = encoding_of(cache, category, content, bits=sweep.bits, threads=usable_cores().amount)
    for note in encoding.notes:
        say(f"category '{category.name}': {note}")
    return replace(category, encoding=encoding)


def _refused(category: Category) -> dict[str, str]:
    """File -> why it is refused, of those that have no clear meaning: that shows without decoding
    all.
    """
    refused = category.encoding.refused
    return {name: f"{category.folder / name}: {why}" for name, why in refused.items()}


def _warn_of_masks(category: Category, images: Decoded, *, say: Say) -> None:
    """Says where masks mark so much that they may be the wrong way round."""
    rows = np.flatnonzero(images.mask_state == "present")
    types = [category.samples[row].defect_type for row in rows]
    shares = [float(images.masks[row].mean()) for row in rows]
    for warning in suspicious_masks(types, shares):
        say(f"category '{category.name}': warning: {warning}")


def _without(category: Category, left_out: Mapping[str, str]) -> Category:
    usable = tuple(sample for sample in category.samples if sample.image not in left_out)
    return replace(category, samples=usable)


def _emptied(category: Category, images: Decoded) -> list[str]:
    """The images whose mask the resize emptied."""
    states = zip(category.samples, images.mask_state, strict=True)
    return [sample.image for sample, state in states if state == "emptied"]


def _hashes(category: Category, cache: Cache) -> dict[str, str]:
    """Image and mask, relative to the category's folder -> sha256; '' for what cannot be opened,
    which decoding then names with all others.
    """
    names = [name for sample in category.samples for name in (sample.image, *sample.masks)]
    paths = {name: category.folder / name for name in names}
    threads = usable_cores().amount
    try:
        by_path = cache.hashes(paths.values(), threads=threads)
    except OSError:
        openable = [path for path in paths.values() if _opens(path)]
        try:
            by_path = cache.hashes(openable, threads=threads)
        except OSError as error:
            raise DataError(
                f"category '{category.name}': cannot read {error.filename}: {error.strerror}"
            ) from None
    return {name: by_path.get(path, "") for name, path in paths.items()}


def _opens(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True
