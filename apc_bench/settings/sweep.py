"""What a sweep is: frozen, validated values, made from a job file and flags. No torch here, so that
a wrong name or value is an error at once.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from apc_bench.errors import UsageError
from apc_bench.plugins import version_of
from apc_bench.settings.anomalib import ANOMALIB, usual_backbone
from apc_bench.settings.backbones import check_name
from apc_bench.settings.base import Frozen, Share
from apc_bench.settings.detectors import (
    DetectorSettings,
    Losses,
    PatchCoreSettings,
    package_of,
    settings_class,
)
from apc_bench.settings.explain import explain, shortened
from apc_bench.settings.hints import for_unknown, unknown_method
from apc_bench.settings.protocols import (
    FOLDS,
    FOLDS_MAX,
    PROTOCOLS,
    RESERVE,
    EvaluationProtocol,
    Holdout,
    protocol_of,
)

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a dataset, category, method or defect type may be called where the name becomes a folder of
a run.
"""

FREE = {"job", "categories", "methods", "only", "shots", "seeds"}
"""Settings that may change or be added to from one sweep of a run folder to the next."""


class Method(Frozen):
    """One system of a sweep: a detector, its backbone and weights, its settings."""

    detector: str = "patchcore"
    """A detector of ours (patchcore, apc, apc+, prnet), anomalib, or of an installed package."""
    backbone: str = "resnet50"
    """The network whose features are read: one of ours, or timm/NAME. (none: it has its own)"""
    weights: Path | None = None
    """A local file of weights, instead of the backbone's own."""
    title: str | None = None
    """What tables call it; null: its name."""
    settings: SerializeAsAny[DetectorSettings] = Field(default=None, validate_default=True)
    """The detector's settings."""

    @field_validator("detector")
    @classmethod
    def _known_detector(cls, name: str) -> str:
        try:
            settings_class(name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return name

    @field_validator("settings", mode="before")
    @classmethod
    def _settings_of_the_detector(cls, settings: Any, others: ValidationInfo) -> Any:
        if "detector" not in others.data:
            # Nothing can be said of the settings of a detector that is refused already.
            return PatchCoreSettings()
        own_class = settings_class(others.data["detector"])
        if isinstance(settings, dict | None):
            return own_class.model_validate(settings or {})
        if isinstance(settings, DetectorSettings) and type(settings) is not own_class:
            raise ValueError(
                f"are those of another detector ({type(settings).__name__}, needed"
                f" {own_class.__name__})"
            )
        return settings

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        try:
            check_name(name)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="before")
    @classmethod
    def _usual_backbone(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("detector") == ANOMALIB:
            usual = usual_backbone(values.get("settings") or {})
            return {**({"backbone": usual} if usual else {}), **values}
        return values

    @model_validator(mode="after")
    def _backbone_of_the_detector(self) -> Self:
        try:
            self.settings.check_backbone(self.backbone)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def package(self) -> str | None:
        """`name version` of the package that its detector comes from; None for one of our own."""
        return package_of(self.detector)

    @property
    def libraries(self) -> dict[str, str]:
        """The versions of what it computes with beside what every method does."""
        return {name: version_of(name) for name in self.settings.libraries}

    def identity(self) -> dict[str, Any]:
        """What makes two methods the same: all but the title and where the weights lie."""
        return {
            "detector": self.detector,
            "backbone": self.backbone,
            "settings": self.settings.identity(),
        }


class SyntheticData(Frozen):
    """The dataset that is made on the spot (datasets/synthetic)."""

    categories: tuple[str, ...] | None = None
    """Which of its kinds of parts are made; null: all."""
    size: int = Field(128, ge=16, le=1024)
    """Side of the pictures in pixels."""
    train: int = Field(48, ge=2)
    """Normal training pictures of a category."""
    good: int = Field(24, ge=1)
    """Normal test pictures of a category."""
    per_type: int = Field(12, ge=1)
    """Test pictures of each defect type."""
    seed: int = Field(0, ge=0)
    """The same seed gives the same bytes."""


class Sweep(Frozen):
    """A sweep: categories × methods × shots × seeds on one dataset, at one input size, under the
    protocol of docs/method.md section 5.

    The largest seed and reserve are those that the run folder's columns hold (store/schemas.py).
    """

    job: str = Field("sweep", pattern=NAME)
    """What the sweep is called."""
    dataset: str | None = Field(None, pattern=NAME)
    """What the dataset is called; null: as its folder."""
    synthetic: SyntheticData | None = None
    """The dataset that is made on the spot where no folder is given."""
    categories: tuple[str, ...] | None = None
    """Only these categories; null: all."""
    methods: dict[str, Method]
    """The systems by name."""
    only: tuple[str, ...] | None = None
    """The methods that run, null for all; the run folder is the same whichever are chosen."""
    part: str | None = None
    """Test on this part of groups.csv (dev or final, say) alone, and draw from it."""
    unseen: str | None = Field(None, pattern=NAME)
    """A defect type that no shot is drawn from, and the only one that is tested."""
    protocol: str = Holdout.name
    """holdout tests what is not in the reserve; crossfit tests every defect once, in folds."""
    folds: int = Field(FOLDS, ge=2, le=FOLDS_MAX)
    """Folds of crossfit."""
    shots: tuple[Annotated[int, Field(ge=1)], ...] = (1, 5, 10)
    """Anomalous training images of a category; under crossfit, without: as many as there are."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = (0, 1, 2)
    """Each draws other anomalous images; under crossfit each is a fold."""
    reserve: int = Field(RESERVE, ge=1, lt=2**15)
    """Anomalous images of a category that are taken out of the test set to draw shots from."""
    image_size: int = Field(224, ge=16, le=4096)
    """Side of the square input in pixels."""
    resize: Literal["square", "letterbox", "crop"] = "square"
    """How an image becomes square: both sides, the longer side, or the centre of the shorter."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """The filter of the resize; the reference code of PatchCore has the bilinear one."""
    bits: Annotated[int, Field(ge=8, le=16)] | None = None
    """Of the values of images with 16 bits a pixel; null: as many as hold a category's largest."""
    false_alarms: Share = 0.05
    """Share of normal images that a calibrated threshold may raise an alarm for."""
    features: Literal["none", "bank"] = "none"
    """Whether memory banks are written to the run folder."""
    skip_unreadable: bool = False
    """Whether unreadable images are left out, instead of refused."""
    threads: int = Field(1, ge=1, le=256)
    """Threads of a step; they decide bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where steps compute."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of trainings; auto: bfloat16 where the device has instructions for it."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not _is_protocol(values.get("protocol")):
            return values
        return {**PROTOCOLS[values["protocol"]].defaults(values), **values}

    @field_validator("protocol", mode="before")
    @classmethod
    def _known_protocol(cls, name: Any) -> Any:
        if not _is_protocol(name):
            known = " or ".join(repr(protocol) for protocol in PROTOCOLS)
            raise ValueError(f"must be {known} (got {shortened(name)})")
        return name

    @field_validator("shots", "seeds")
    @classmethod
    def _each_once(cls, numbers: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        protocol = PROTOCOLS.get(others.data.get("protocol", ""), Holdout)
        if not numbers and others.field_name == "shots" and not protocol.shots_needed:
            return numbers
        if not numbers or len(set(numbers)) != len(numbers):
            raise ValueError(f"must hold at least one number, each once (got {list(numbers)})")
        return tuple(sorted(numbers))

    @field_validator("methods")
    @classmethod
    def _named(cls, methods: dict[str, Method]) -> dict[str, Method]:
        for name in methods:
            if not re.fullmatch(NAME, name):
                raise ValueError(
                    f"method name {name!r} must be letters, digits, '.', '_' and '-', at most 64"
                )
        if not methods:
            raise ValueError("at least one method is needed")
        return methods

    @model_validator(mode="after")
    def _only_known_methods(self) -> Self:
        for name in self.only or ():
            if name not in self.methods:
                raise ValueError(unknown_method(name, self.methods))
        return self

    @model_validator(mode="after")
    def _fits_the_protocol(self) -> Self:
        self.evaluation.check(dict(self))
        return self

    @property
    def evaluation(self) -> EvaluationProtocol:
        """The protocol as a value, with its own settings."""
        return protocol_of(dict(self))

    @property
    def chosen(self) -> dict[str, Method]:
        """The methods that run."""
        return run_of(dict(self))

    def fixed(self) -> dict[str, Any]:
        """The settings that every trial of a run folder shares; seeds, shots, categories and
        methods may be added to it.
        """
        chosen = FREE | {"part", "unseen", "protocol", "folds"}
        return self.model_dump(mode="json", exclude=chosen) | self.split_identity()

    def split_identity(self) -> dict[str, Any]:
        """What makes the split another than the usual one, by name; nothing for the usual one, so
        that its ids stay what they were.
        """
        part = {} if self.part is None else {"part": self.part}
        return part | self.evaluation.identity()


def _is_protocol(name: Any) -> bool:
    return isinstance(name, str) and name in PROTOCOLS


def run_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The methods of a sweep's settings, checked or as they are recorded, that run: those that
    `only` names, or all.
    """
    methods = settings.get("methods") or {}
    only = settings.get("only") or methods
    return {name: method for name, method in methods.items() if name in only}


def make_sweep(values: Mapping[str, Any], *, source: str) -> Sweep:
    """Validates settings; raises UsageError in one line that names the setting, what was given and
    what is allowed.
    """
    try:
        return Sweep.model_validate(values)
    except ValidationError as error:
        beside = partial(_settings_beside, values=values)
        hint = partial(
            for_unknown,
            methods=values.get("methods"),
            of_sweep=Sweep.model_fields,
            of_method=Method.model_fields,
        )
        raise UsageError(f"{source}: {explain(error, beside, hint)}") from None


def _settings_beside(location: tuple[int | str, ...], values: Mapping[str, Any]) -> Iterable[str]:
    """The valid names where an unknown setting stood."""
    match location:
        case ("methods", _, "settings", "losses", _):
            return Losses.model_fields
        case ("methods", name, "settings", _):
            detector = values["methods"][name].get("detector", "patchcore")
            return settings_class(detector).model_fields
        case ("methods", _, _):
            return Method.model_fields
        case ("synthetic", _):
            return SyntheticData.model_fields
    return Sweep.model_fields
