"""What a category's files mean, found by a look at all of them: bits of values, meaning of masks,
turned photos. Never by one file alone, so that brightness and label ids stay comparable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from apc_bench.datasets.encoding import Encoding, MaskEncoding
from apc_bench.datasets.images import SIDEWAYS, Glance, glance
from apc_bench.datasets.mask_encoding import MaskFacts, encoding_of_masks, facts_of
from apc_bench.datasets.masks import read_planes
from apc_bench.errors import DataError
from apc_bench.wording import counted

T = TypeVar("T")


@dataclass(slots=True)
class _Findings:
    """What the questions so far brought: sentences for a person, files without a clear meaning and
    why, and whether earlier versions read the files otherwise.
    """

    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unusual: bool = False

    def note(self, text: str) -> None:
        """Takes down what earlier versions did not do."""
        self.notes.append(text)
        self.unusual = True

    def refuse(self, names: Iterable[str], why: str) -> None:
        """Takes down files that have no clear meaning."""
        self.refused |= dict.fromkeys(names, why)


def recognise(
    folder: Path,
    images: Sequence[str],
    pairs: Iterable[tuple[str, str]],
    *,
    bits: int | None = None,
    threads: int = 1,
) -> Encoding:
    """The encoding of a category's files, named by paths relative to its folder. `pairs`: image and
    mask. `bits`: of values of 16 bits a pixel; None: as many as hold the largest.

    Files that cannot be read are passed over: who decodes them says so.
    """
    pairs = list(pairs)
    masks = list(dict.fromkeys(mask for _, mask in pairs))
    with ThreadPoolExecutor(threads) as pool:
        glances = _readable(pool, glance, folder, images)
        facts = _readable(pool, _facts, folder, masks)
    findings = _Findings()
    bits = _bits(glances, bits, findings)
    of_masks = _masks(facts, findings)
    stored = _drawn_as_stored(glances, facts, pairs, findings)
    return Encoding(
        bits,
        of_masks,
        frozenset(stored),
        not (findings.unusual or findings.refused),
        tuple(findings.notes),
        findings.refused,
    )


def _facts(path: Path) -> MaskFacts:
    return facts_of(read_planes(path))


def _readable(
    pool: ThreadPoolExecutor, look: Callable[[Path], T], folder: Path, names: Sequence[str]
) -> dict[str, T]:
    """What each file that can be read holds, by its name."""

    def look_at(name: str) -> T | None:
        try:
            return look(folder / name)
        except DataError:
            return None

    looks = zip(names, pool.map(look_at, names), strict=True)
    return {name: look for name, look in looks if look is not None}


def _bits(glances: Mapping[str, Glance], asked: int | None, findings: _Findings) -> int:
    """How many bits hold every value of the images that have 16 a pixel."""
    see_through = sum(look.see_through for look in glances.values())
    if see_through:
        images = counted(see_through, "image")
        findings.note(f"{images} with the same alpha everywhere: it is ignored")
    _cut_colours(glances, findings)
    deep = [look.largest for look in glances.values() if look.largest is not None]
    if not deep:
        return 16
    largest = min(max(deep), 65535)
    bits = asked or max(8, largest.bit_length())
    if bits < 16:
        images = counted(len(deep), "image")
        findings.note(
            f"{images} of 16 bits a pixel with values up to {largest} are read as {bits} bits:"
            f" {2**bits - 1} is white (--bits overrides it)"
        )
    return bits


def _cut_colours(glances: Mapping[str, Glance], findings: _Findings) -> None:
    """Refuses colour images of 16 bits a channel whose upper bits are empty: Pillow keeps only
    these.
    """
    upper = {
        name: look.largest_colour
        for name, look in glances.items()
        if look.largest_colour is not None
    }
    if max(upper.values(), default=255) < 64:
        why = "16 bits a channel, of which the upper ones are empty; save it with 8 bits a channel"
        findings.refuse(upper, why)


def _masks(facts: Mapping[str, MaskFacts], findings: _Findings) -> MaskEncoding:
    encoding, unclear = encoding_of_masks(facts)
    findings.refused |= unclear
    if encoding.channel == "alpha":
        findings.note("masks: what is opaque is anomalous")
    elif encoding.meaning in ("black", "white"):
        findings.note(f"masks: every colour but {encoding.meaning} is anomalous")
    elif encoding.meaning == "ids" and any(fact.largest > 1 for fact in facts.values()):
        findings.notes.append("masks: label ids, of which any above 0 is anomalous")
    if not all(_usual(fact, encoding) for fact in facts.values()):
        findings.unusual = True
    return encoding


def _usual(fact: MaskFacts, encoding: MaskEncoding) -> bool:
    """Whether a mask says by itself, as all versions read it, what it says in its category."""
    if not fact.plain or fact.orientation != 1:
        return False
    if encoding.meaning == "levels":
        return fact.largest >= 128 or fact.largest == 0
    return fact.largest < 128


def _drawn_as_stored(
    glances: Mapping[str, Glance],
    facts: Mapping[str, MaskFacts],
    pairs: Iterable[tuple[str, str]],
    findings: _Findings,
) -> list[str]:
    """Images that are turned and whose mask is not: it has the size of the photo as it is stored.
    Where size cannot tell (squares, half turns), a mask is as the others of its category; without
    others it was drawn in a viewer, and those turn photos.
    """
    turned = {name for name, look in glances.items() if look.orientation != 1}
    if not turned:
        return []
    findings.note(f"{counted(len(turned), 'photo')} turned as the EXIF data asks")
    as_shown, as_stored, either = [], [], []
    for image, mask in pairs:
        if image not in turned or mask not in facts or facts[mask].orientation != 1:
            continue
        look, size = glances[image], facts[mask].size
        height, width = look.size
        if look.orientation not in SIDEWAYS or height == width:
            either.append(image)
        elif size == (width, height):
            as_stored.append(image)
        else:
            as_shown.append(image)
    if as_stored and as_shown and either:
        why = "turned by EXIF data, and whether its mask is cannot be told; turn both"
        findings.refuse(either, why)
    elif as_stored:
        as_stored += either
    if as_stored:
        findings.note(
            f"{counted(len(as_stored), 'mask')} of turned photos turned with them: drawn on the"
            " photo as it is stored"
        )
    return as_stored
