import pytest

from apc_bench.wording import aligned, counted, enumerated, printable


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("seed",), "0 seeds"),
        (1, ("seed",), "1 seed"),
        (2, ("category", "categories"), "2 categories"),
        (1, ("category", "categories"), "1 category"),
    ],
)
def test_a_count_has_its_plural(number: int, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text


def test_words_are_joined_as_in_a_sentence() -> None:
    assert [enumerated("ABC"[:count]) for count in (1, 2, 3)] == ["A", "A and B", "A, B and C"]


def test_columns_are_aligned_without_blanks_at_the_end() -> None:
    rows = [("", "mean", "at"), ("weave", "9.5", "a")]
    assert aligned(rows, (False, True, False)) == ["       mean  at", "weave   9.5  a"]


def test_control_characters_of_a_name_never_reach_the_terminal() -> None:
    assert printable(["a\x1b[2J\tb", "– ± é"]) == ["a?[2J?b", "– ± é"]
