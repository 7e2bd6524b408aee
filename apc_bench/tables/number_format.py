"""Numbers as every table, text, page and picture prints them: one function a kind of number.

A minus is a minus sign and no hyphen, zero has no sign, and a dash stands for what is missing.
"""

NONE = "–"
SMALLEST_P = 0.001
"""A p value below it is only said to be below it."""


def percent(fraction: float) -> str:
    """A fraction in percent: 0.9721 -> `97.21`."""
    return f"{100 * fraction:.2f}"


def points(difference: float, decimals: int = 2) -> str:
    """A difference of fractions in percentage points: 0.0162 -> `+1.62`."""
    return signed(100 * difference, decimals)


def points_interval(low: float, high: float, decimals: int = 2) -> str:
    """An interval of a difference of fractions: `−0.31 to +1.62`, in percentage points; with more
    decimals (4 at most) where an end would else look like 0, since whether an interval holds 0
    matters.
    """
    ends = [end for end in (low, high) if end]
    while decimals < 4 and any(round(100 * end, decimals) == 0 for end in ends):
        decimals += 1
    return f"{points(low, decimals)} to {points(high, decimals)}"


def signed(number: float, decimals: int = 2) -> str:
    """A number with its sign: `+1.62`, `−15.66`, `0.00`."""
    rounded = round(number, decimals)
    if rounded == 0:
        return f"{0:.{decimals}f}"
    return f"{rounded:+.{decimals}f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """`0.012`, `< 0.001`, or a dash where no test was made."""
    if p is None:
        return NONE
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"
