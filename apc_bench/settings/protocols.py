"""The protocols of evaluation (docs/method.md section 5): who is tested, and what may be learned
from. Each is a value that says what it needs of a sweep's settings, what it adds to ids, and what a
reader must know of it; datasets/split.py draws for it.

Nothing heavy is imported here, so that `--help` can name them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

RESERVE = 10
FOLDS = 5
FOLDS_MAX = 1000
SPLIT_SETTINGS = ("reserve", "part", "unseen", "protocol", "folds")
"""The settings of a sweep that decide its split, beside dataset, categories and seeds."""

Settings = Mapping[str, Any]
"""A sweep's settings by name: of a `Sweep`, or as a run folder holds them."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol(ABC):
    """What every protocol has. `reserve`: anomalous images of a category that are set apart, as the
    split's columns say it.

    `seed_words`: what a seed is to a reader, one and many. `shots_needed`: whether a sweep must say
    how many shots it wants.
    """

    name: ClassVar[str]
    seed_words: ClassVar[tuple[str, str]] = ("seed", "seeds")
    shots_needed: ClassVar[bool] = True

    reserve: int

    @classmethod
    @abstractmethod
    def of(cls, settings: Settings) -> Self:
        """The protocol that these settings ask for."""

    @classmethod
    def defaults(cls, settings: Settings) -> dict[str, Any]:
        """Settings that a job may leave out under this protocol, where the usual defaults do not
        fit. `settings` are not checked yet.
        """
        return {}

    @abstractmethod
    def check(self, settings: Settings) -> None:
        """Raises ValueError where other settings do not go with the protocol."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What ids say of the protocol, beside the reserve; nothing for the usual one, so that ids
        stay what they were before there was a choice.
        """

    def tests(self, defect_type: str) -> bool:
        """Whether images of this defect type may be tested."""
        return True

    @abstractmethod
    def no_test_image(self, kind: str, seed: int) -> str:
        """What to say where a seed leaves no image of a kind (normal, anomalous) to test."""

    def shots(self, asked: tuple[int, ...], most: int, category: str) -> tuple[int, ...]:
        """The shots of a sweep that asked for these, where `category` has the fewest images to draw
        from, `most`. Raises ValueError for more than that.
        """
        return asked

    @abstractmethod
    def footnotes(self, seeds: int, *, full: bool) -> Iterator[tuple[str, str]]:
        """Heading and text of the notes under a table of that many seeds. `full`: whether it has
        figures on the full test set too.
        """


@dataclass(frozen=True, slots=True)
class Holdout(EvaluationProtocol):
    """Shots are drawn from a reserve, and what is not of it is tested. `unseen`: a defect type that
    nothing is drawn from, and the only one that is tested.
    """

    name: ClassVar[str] = "holdout"

    reserve: int = RESERVE
    unseen: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the reserve and the unseen type of these settings."""
        return cls(settings["reserve"], settings.get("unseen"))

    def check(self, settings: Settings) -> None:
        """Raises ValueError for more shots than the reserve has."""
        most = max(settings["shots"])
        if most > self.reserve:
            raise ValueError(
                f"shots {most} are above the reserve of {self.reserve}: raise --reserve to {most}"
            )

    def identity(self) -> dict[str, Any]:
        """The unseen type, where there is one."""
        return {} if self.unseen is None else {"unseen": self.unseen}

    def tests(self, defect_type: str) -> bool:
        """The unseen type alone, where there is one."""
        return self.unseen in (None, defect_type)

    def no_test_image(self, kind: str, seed: int) -> str:
        """Says that the reserve is too large."""
        return (
            f"a reserve of {self.reserve} would leave no {kind} test image; lower --reserve"
            " (--protocol crossfit is for those who have no photos to spare)"
        )

    def footnotes(self, seeds: int, *, full: bool) -> Iterator[tuple[str, str]]:
        """The unseen type, and what the test set is."""
        if self.unseen:
            yield (
                "Unseen defect type",
                f"no shot is of '{self.unseen}', and of the anomalous test images it alone is"
                " tested",
            )
        common = (
            f"common: all test images but the reserve ({self.reserve} anomalous images a category,"
            " drawn once per seed, at most one of a group) and its groups; the same for every"
            " system and number of shots"
        )
        if full:
            whose = "for frozen extractors only, to stand beside the literature"
            common += f"; full: with the reserve, {whose}"
        yield "Test set", common


@dataclass(frozen=True, slots=True)
class CrossFit(EvaluationProtocol):
    """Every anomalous group is tested once in `folds` folds, on models that saw the others': seed s
    stands for fold s mod folds of assignment s div folds. No reserve is set apart.
    """

    name: ClassVar[str] = "crossfit"
    seed_words: ClassVar[tuple[str, str]] = ("fold", "folds")
    shots_needed: ClassVar[bool] = False

    reserve: int = RESERVE
    folds: int = FOLDS

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the folds of these settings."""
        return cls(settings["reserve"], settings["folds"])

    @classmethod
    def defaults(cls, settings: Settings) -> dict[str, Any]:
        """Every fold once, on as many shots as there are."""
        folds = settings.get("folds", FOLDS)
        if not isinstance(folds, int):
            return {}
        return {"shots": (), "seeds": tuple(range(min(folds, FOLDS_MAX)))}

    def check(self, settings: Settings) -> None:
        """Raises ValueError for a reserve, an unseen type, or seeds that are no assignments."""
        if self.reserve != RESERVE:
            raise ValueError(
                "protocol crossfit sets no reserve apart: leave it out (--reserve, in a job file"
                " 'reserve'), or use protocol holdout"
            )
        if settings["unseen"] is not None:
            raise ValueError(
                "protocol crossfit tests every defect type; 'unseen' needs protocol holdout"
            )
        seeds = settings["seeds"]
        if seeds != tuple(range(len(seeds))) or len(seeds) % self.folds:
            raise ValueError(
                f"with {self.folds} folds seeds are folds: leave them out, or give"
                f" 0,1,...,{2 * self.folds - 1} for two assignments (got {list(seeds)})"
            )

    def identity(self) -> dict[str, Any]:
        """The protocol and its folds."""
        return {"protocol": self.name, "folds": self.folds}

    def no_test_image(self, kind: str, seed: int) -> str:
        """Says which fold lacks photos."""
        fold = seed % self.folds
        return f"fold {fold} of {self.folds} has no {kind} test image; photograph more parts"

    def shots(self, asked: tuple[int, ...], most: int, category: str) -> tuple[int, ...]:
        """As many as the smallest fold's complement gives, where none were asked for."""
        if asked and max(asked) > most:
            raise ValueError(
                f"shots {max(asked)}: with {self.folds} folds category '{category}' has {most} to"
                f" learn from in each; pass --shots {most} or leave it out"
            )
        return asked or (most,)

    def footnotes(self, seeds: int, *, full: bool) -> Iterator[tuple[str, str]]:
        """That seeds are folds, and how often the groups were dealt."""
        again = seeds // self.folds
        times = f", dealt anew {again} times" if again > 1 else ""
        yield (
            "Cross-fitting",
            f"of {self.folds} folds of the groups of anomalous images{times}, each is tested with"
            " the normal test images, on models that saw the others; ± is the spread over folds;"
            " files and commands call a fold a seed",
        )
        if full:
            whose = "for frozen extractors only, which saw none of them"
            yield "Test set", f"common: the photos of the fold; full: all defect photos, {whose}"


PROTOCOLS: dict[str, type[EvaluationProtocol]] = {
    protocol.name: protocol for protocol in (Holdout, CrossFit)
}


OF_ONE_PROTOCOL = ("reserve", "unseen", "folds", "shots", "seeds")
"""Settings whose meaning is the protocol's: another one takes its own defaults instead."""


def seed_words_of(protocol: str) -> tuple[str, str]:
    """What a seed is to a reader under a protocol of this name, one and many."""
    return PROTOCOLS[protocol].seed_words


def protocol_of(settings: Settings) -> EvaluationProtocol:
    """The protocol of a sweep's settings; hold-out where they are older than the choice."""
    return PROTOCOLS[settings.get("protocol", Holdout.name)].of(settings)
