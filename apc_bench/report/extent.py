"""How much of a run a report draws by itself: everything of a small run; of a large one what the
page opens on, and the rest when it is asked for.
"""

from dataclasses import dataclass

from apc_bench.results.aggregate import Results

TRIALS_MAX = 500
"""Planned trials up to which everything is drawn: MVTec AD with three seeds of the paper's job."""

SEEDS_MAX = 5
"""Seeds of a system with pictures in the page; the figures of the others stand in the tables."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`by_category`: whether the figures of each category that a page only links to are drawn.
    `seeds`: whose trials have pictures; `left`: how many more seeds would have them; `words`: what
    a seed is to a reader, one and many.
    """

    by_category: bool
    seeds: tuple[int, ...]
    left: int
    words: tuple[str, str]

    @property
    def rest(self) -> str | None:
        """What is left to be asked for, in words; None where nothing is."""
        if self.by_category:
            return None
        figures = "the figures of each category for papers"
        if not self.left:
            return figures
        one, many = self.words
        seeds = f"the next {one}" if self.left == 1 else f"the next {self.left} {many}"
        return f"{figures} and the pictures of {seeds}"


def extent_of(results: Results, *, all_figures: bool) -> Extent:
    """Of a run's report. `all_figures`: whatever the run's size."""
    most = results.seeds[:SEEDS_MAX]
    if all_figures or results.planned <= TRIALS_MAX:
        return Extent(True, most, 0, results.seed_words)
    return Extent(False, most[:1], len(most) - 1, results.seed_words)
