"""Categories with groups, without files: what the tests of splits are about."""

from pathlib import Path

from hypothesis import strategies as st

from apc_bench.datasets.samples import Category, Sample


def category_of(train_groups: list[int], good: int, groups: dict[str, list[int]]) -> Category:
    """`groups`: defect type -> images of each of its groups; `train_groups`: images of each group
    of normal training images.
    """
    samples = [
        Sample(f"test/good/{i}.png", None, "good", False, f"test/good/{i}.png") for i in range(good)
    ]
    for number, size in enumerate(train_groups):
        samples += [
            Sample(f"train/good/{number}-{i}.png", None, "good", True, f"t{number}")
            for i in range(size)
        ]
    for kind, sizes in groups.items():
        for number, size in enumerate(sizes):
            samples += [
                Sample(f"test/{kind}/{number}-{i}.png", None, kind, False, f"{kind}{number}")
                for i in range(size)
            ]
    return Category("part", Path("part"), tuple(sorted(samples, key=lambda sample: sample.image)))


@st.composite
def categories(draw):
    kinds = draw(st.integers(1, 4))
    groups = {
        f"k{i}": draw(st.lists(st.integers(1, 4), min_size=1, max_size=7)) for i in range(kinds)
    }
    return category_of(
        draw(st.lists(st.integers(1, 3), min_size=1, max_size=12)), draw(st.integers(1, 5)), groups
    )


def hashes(category: Category) -> dict[str, str]:
    return {sample.image: f"hash of {sample.image}" for sample in category.samples}
