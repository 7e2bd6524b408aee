"""Numbers as they are printed."""

from apc_bench.tables.number_format import p_value, percent, points, points_interval, signed


def test_numbers_keep_their_sign_but_zero_has_none() -> None:
    assert [signed(value) for value in (1.616, -15.66, -0.001, 0.0)] == [
        "+1.62",
        "−15.66",
        "0.00",
        "0.00",
    ]


def test_fractions_are_printed_in_percent_and_in_points() -> None:
    assert percent(0.97214) == "97.21"
    assert points(-0.1566) == "−15.66"
    assert points(0.0004, 0) == "0"
    assert points_interval(-0.0031, 0.0162) == "−0.31 to +1.62"


def test_a_small_p_is_only_said_to_be_small() -> None:
    assert [p_value(p) for p in (0.0123, 0.001, 0.0009, None)] == ["0.012", "0.001", "< 0.001", "–"]
