"""Words and lines as all texts for people have them: counts, lists, and aligned columns."""

from collections.abc import Iterable, Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 seed`, `3 seeds`; `many`: the plural that is not the singular with an s."""
    if number == 1:
        return f"1 {one}"
    return f"{number} {many or one + 's'}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_bytes(size: float) -> str:
    """`340 MB`, `12.4 GB`: a number of bytes, in units of a thousand."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def enumerated(words: Sequence[str], last: str = "and") -> str:
    """`A`, `A and B`, `A, B and C`; `last`: the word before the last one."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def aligned(rows: Sequence[Sequence[str]], to_the_right: Sequence[bool]) -> list[str]:
    """One line a row, its cells in columns; `to_the_right`: a column each, as numbers are set."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [_line(row, widths, to_the_right) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], to_the_right: Sequence[bool]) -> str:
    cells = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(row, widths, to_the_right, strict=True)
    ]
    return "  ".join(cells).rstrip()


def printable(lines: Iterable[str]) -> list[str]:
    """Lines for a terminal: what a name may hold of control characters is shown as `?`."""
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]
