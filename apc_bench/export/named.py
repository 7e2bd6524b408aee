"""The test image of a run that a person names, by its path or only its end."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from apc_bench.errors import ApcError, UsageError, listed
from apc_bench.export.chosen import Choice
from apc_bench.results.aggregate import TEST, Results
from apc_bench.results.run_reader import RunReader

SCORED = (TEST, "reserved")
"""Parts of a split whose images have maps."""

NEAR = 3
"""Names that are suggested at most."""


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A test image: its category, its path in there, and the seed whose trials are shown."""

    category: str
    image: str
    seed: int

    @property
    def whole(self) -> str:
        """Its path in the dataset."""
        return f"{self.category}/{self.image}"


def find_image(results: Results, run: RunReader, name: str, choice: Choice) -> NamedImage:
    """The image that `name` is the path of, or the end of the path, with or without the ending, and
    the seed asked for; left open: the first in which it is in the test set.

    Raises UsageError where no image with a map, or more than one, is called so.
    """
    seeds = sorted({seed for system in choice.systems(results) for seed in system.seeds})
    categories = choice.of_categories(results)
    if choice.seed is not None and choice.seed not in seeds:
        known, word = ", ".join(map(str, seeds)), results.seed_words[0]
        raise UsageError(f"no {word} {choice.seed} in this run (has: {known})")
    found: dict[str, list[tuple[bool, int, NamedImage]]] = {}
    training = set()
    for category in categories:
        for one in seeds if choice.seed is None else [choice.seed]:
            for image, split in _images(run, category, one):
                named = NamedImage(category, image, one)
                if split in SCORED:
                    found.setdefault(named.whole, []).append((split != TEST, one, named))
                else:
                    training.add(named.whole)
    called = [whole for whole in found if _is_called(whole, name)]
    if len(called) > 1:
        raise UsageError(
            f"{len(called)} images end in '{name}': {listed(called)}; name more of the path"
        )
    if called:
        return min(found[called[0]], key=lambda place: place[:2])[2]
    for whole in sorted(training):
        if _is_called(whole, name):
            raise UsageError(f"{whole} is a training image; maps are kept of test images alone")
    raise UsageError(_no_such(name, list(found), categories))


def _images(run: RunReader, category: str, seed: int) -> Iterator[tuple[str, str]]:
    """Each image of a category with its part of the split; none where the split cannot be read."""
    try:
        rows = run.split(category, seed).rows
    except ApcError:
        return
    for row in rows:
        yield row.sample.image, row.split


def _is_called(whole: str, name: str) -> bool:
    wanted = PurePath(name).as_posix()
    bare = PurePath(whole).with_suffix("").as_posix()
    return any(
        f"/{path}".endswith(f"/{wanted}") or wanted.endswith(f"/{path}") for path in (whole, bare)
    )


def _no_such(name: str, known: Sequence[str], categories: Sequence[str]) -> str:
    """The message for a name that no image has, with the nearest ones."""
    # The end of a path as long as the name is what a person may have meant.
    depth = len(PurePath(name).parts)
    ends = {"/".join(PurePath(whole).parts[-depth:]): whole for whole in known}
    near = [ends[end] for end in difflib.get_close_matches(name, ends, n=NEAR, cutoff=0.5)]
    near += [whole for whole in difflib.get_close_matches(name, known, n=NEAR) if whole not in near]
    hint = f"; near: {listed(near[:NEAR])}" if near else ", such as " + listed(known[:1])
    return f"no image '{name}' in {listed(categories)}{hint if known else ''}"
