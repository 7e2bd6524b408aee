"""Scores photos with the detector beside this file:  python score.py PHOTO ...

It needs torch and Pillow, and nothing else. What the numbers mean is said in about.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps


def main() -> None:
    """A line a photo: score, verdict, path."""
    extra = {"about.json": ""}
    program = torch.export.load(Path(__file__).with_name("detector.pt2"), extra_files=extra)
    detector, about = program.module(), json.loads(extra["about.json"])
    for path in sys.argv[1:]:
        with torch.inference_mode():
            scores, _maps = detector(pixels_of(path, **about["input"]))
        verdict = "no threshold"
        if about["threshold"] is not None:
            verdict = "anomalous" if scores.item() > about["threshold"] else "normal"
        print(f"{scores.item():.9g}\t{verdict}\t{path}")


def pixels_of(
    path: str, *, side: int, resize: str, interpolation: str, bits: int, **_: Any
) -> torch.Tensor:
    """The photo as the detector takes it: (1, 3, side, side) uint8."""
    photo = read(path, bits)
    size, corner = (side, side), (0, 0)
    if resize == "letterbox":  # the longer side fits, with black borders
        scale = side / max(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        corner = ((side - size[0]) // 2, (side - size[1]) // 2)
    elif resize == "crop":  # the centre, after the shorter side fits with a margin
        short, shorter = min(photo.size), round(side * 256 / 224)
        size = (shorter * photo.width // short, shorter * photo.height // short)
        corner = (-round((size[0] - side) / 2), -round((size[1] - side) / 2))
    square = Image.new("RGB", (side, side))
    square.paste(photo.resize(size, Image.Resampling[interpolation.upper()]), corner)
    pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8)
    return pixels.view(1, side, side, 3).permute(0, 3, 1, 2)


def read(path: str, bits: int) -> Image.Image:
    """An RGB photo, upright; 16 bits a pixel are scaled from `bits`, black lies behind alpha."""
    photo = ImageOps.exif_transpose(Image.open(path))
    if photo.mode.startswith("I"):
        scale = 255 / (2**bits - 1)
        photo = photo.convert("I").point(lambda value: value * scale + 0.5).convert("L")
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        if len(photo.getchannel("A").getcolors() or ()) > 1:
            black = Image.new("RGBA", photo.size, (0, 0, 0, 255))
            photo = Image.alpha_composite(black, photo)
    return photo.convert("RGB")


if __name__ == "__main__":
    main()
