"""Random orders that depend on nothing but names: neither on the order of a folder's listing nor on
a library's generator.
"""

import hashlib
from collections.abc import Iterable


def random_order(names: Iterable[str], *key: str) -> list[str]:
    """The names ordered by sha256 of the key's words and each name."""

    def hashed(name: str) -> bytes:
        return hashlib.sha256("\x1f".join((*key, name)).encode()).digest()

    return sorted(names, key=hashed)
