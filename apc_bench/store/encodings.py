"""How a category's files are to be understood, found once per content and kept in the cache."""

import json
from pathlib import Path

import PIL

from apc_bench.datasets.encoding import DECODE_VERSION, Encoding
from apc_bench.datasets.recognise import recognise
from apc_bench.datasets.samples import Category
from apc_bench.files.hashing import digest
from apc_bench.store.cache import Cache


def encoding_of(
    cache: Cache, category: Category, content: str, *, bits: int | None, threads: int
) -> Encoding:
    """The encoding of a category of this content. `bits`: of values of 16 bits a pixel, None to
    find out. Raises StorageError.
    """

    def build(folder: Path) -> None:
        images = [sample.image for sample in category.samples]
        pairs = [(sample.image, mask) for sample in category.samples for mask in sample.masks]
        found = recognise(category.folder, images, pairs, bits=bits, threads=threads)
        (folder / "encoding.json").write_text(json.dumps(found.as_json()))

    key = digest([content, bits, DECODE_VERSION, PIL.__version__])
    folder = cache.entry("encodings", key, build)
    return Encoding.from_json(json.loads((folder / "encoding.json").read_text()))
