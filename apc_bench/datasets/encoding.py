"""How a category's files are to be understood: decided over all of them (recognise.py), for a file
alone cannot say whether its 2,900 is bright, or its 50 a defect.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

DECODE_VERSION = 3
"""Raised whenever the same file would give other pixels. It is part of the fingerprint of the
categories whose pixels it may change (Encoding.usual); RESULT_VERSION rises with it where others'
do.
"""


@dataclass(frozen=True, slots=True)
class MaskEncoding:
    """What the values of a category's masks mean.

    `channel`: the colours, or alpha where these never vary. `meaning`: 'levels': half of `top` or
    more is anomalous; 'ids': anything above 0; 'black' and 'white': any colour but this one, from a
    distance of more than `tolerance` on. `top`: the largest value that the files can hold, 255 or
    65535.
    """

    channel: Literal["colour", "alpha"] = "colour"
    meaning: Literal["levels", "ids", "black", "white"] = "levels"
    top: Literal[255, 65535] = 255
    tolerance: int = 0


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a category's files are to be understood.

    `bits`: of the values of images that have 16 bits a pixel. `masks`: what masks mean; None: each
    by itself, as it was before encodings. `stored`: images whose mask was drawn on the photo as it
    is stored, not as its EXIF data turns it. `usual`: whether earlier versions read these files as
    this one does. `notes`: what a person should know, a sentence each. `refused`: images and masks
    that have no clear meaning, and why.
    """

    bits: int = 16
    masks: MaskEncoding | None = MaskEncoding()
    stored: frozenset[str] = frozenset()
    usual: bool = True
    notes: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What decides pixels, as JSON values."""
        told = self.as_json()
        meaning = {name: told[name] for name in ("bits", "masks", "stored")}
        return {"decoding": DECODE_VERSION, **meaning}

    def as_json(self) -> dict[str, Any]:
        """JSON values that `from_json` understands."""
        return {**asdict(self), "stored": sorted(self.stored), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The encoding of JSON values as `as_json` gave them."""
        return cls(
            **{
                **values,
                "masks": MaskEncoding(**values["masks"]),
                "stored": frozenset(values["stored"]),
                "notes": tuple(values["notes"]),
            }
        )


PLAIN = Encoding()
"""Eight bits, masks of black and white, nothing turned."""

BEFORE = Encoding(masks=None)
"""Of runs that earlier versions made."""


def recorded(encodings: Mapping[str, Encoding]) -> dict[str, dict[str, Any]]:
    """Category -> its encoding as JSON values, of those where there is anything to say."""
    return {name: encoding.as_json() for name, encoding in encodings.items() if encoding != PLAIN}
