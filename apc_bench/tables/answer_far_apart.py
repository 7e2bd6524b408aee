"""Normal photos far apart from the others that set a threshold, in words."""

from collections.abc import Iterator

from apc_bench.errors import listed
from apc_bench.results.aggregate import Results
from apc_bench.results.answer import Answer
from apc_bench.results.far_apart import FarApart
from apc_bench.tables.answer import spoken_of
from apc_bench.tables.answer_verdict import NAMED

LOOK = (
    "Look at them: what will not come again (another light, a faulty part) is better taken out of"
    " the good photos; of what will, photograph more."
)
"""Said once, last, of all such photos."""


def photos_far_apart(results: Results, answer: Answer, where: str = "") -> Iterator[str]:
    """A line for each system whose threshold they set. `where`: ` in pill`, where several
    categories are spoken of.
    """
    for found in spoken_of(answer):
        far = answer.far_apart.get(found.system)
        if far is None:
            continue
        several = len(answer.seeds) > 1
        seeds = (
            f" in {far.trials} of {len(answer.seeds)} {results.seed_words[1]}" if several else ""
        )
        most = "at most " if several and far.photos > 1 else ""
        score = "scores" if far.photos == 1 else "score"
        yield (
            f"{found.system.title}'s threshold{where} is set{seeds} by {most}{far.photos} of"
            f" {far.calibrating} good photos, which {score} far above the others"
            f" ({listed(far.images, NAMED)}){_on_the_others(far)}."
        )


def _on_the_others(far: FarApart) -> str:
    if far.others is None or far.others.false_alarms is None:
        return ""
    return (
        f"; set on the others alone, it would find {100 * far.others.share:.0f} of 100, with"
        f" {100 * far.others.false_alarms:.0f} % false alarms"
    )
