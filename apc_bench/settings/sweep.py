"""What a sweep is: frozen, validated values, made from a job file and flags. No torch here, so that
a wrong name or value is an error at once.
"""

import hashlib
import json
import re
import reprlib
from collections.abc import Iterable, Mapping
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

from apc_bench.errors import UsageError, unknown
from apc_bench.settings.backbones import BACKBONES
from apc_bench.settings.detectors import (
    DetectorSettings,
    Frozen,
    Losses,
    PatchCoreSettings,
    Share,
    plugin_of,
    settings_class,
)
from apc_bench.wording import enumerated

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a dataset, category, method or defect type may be called where the name becomes a folder of
a run.
"""


class Method(Frozen):
    """One system of a sweep: a detector, its backbone and weights, its settings. `weights`: a local
    file instead of the backbone's own.
    """

    detector: str = "patchcore"
    backbone: str = "resnet50"
    weights: Path | None = None
    title: str | None = None
    settings: SerializeAsAny[DetectorSettings] = Field(default=None, validate_default=True)

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
            return (
                PatchCoreSettings()
            )  # nothing can be said of the settings of a detector that is refused already
        kind = settings_class(others.data["detector"])
        if isinstance(settings, DetectorSettings) and type(settings) is not kind:
            raise ValueError(
                f"are those of another detector ({type(settings).__name__}, needed {kind.__name__})"
            )
        return (
            kind.model_validate(settings or {}) if isinstance(settings, dict | None) else settings
        )

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, name: str) -> str:
        if name not in BACKBONES:
            raise ValueError(unknown("backbone", name, BACKBONES))
        return name

    @model_validator(mode="after")
    def _layers_of_the_backbone(self) -> Self:
        layers = BACKBONES[self.backbone].layers
        for layer in self.settings.layers:
            if layer not in layers:
                raise ValueError(
                    f"backbone '{self.backbone}' has no {layer}; use layers among"
                    f" {enumerated(layers)}"
                )
        return self

    @property
    def package(self) -> str | None:
        """`name version` of the package that its detector comes from; None for one of our own."""
        found = plugin_of(self.detector)
        return found.package if found else None

    def identity(self) -> dict[str, Any]:
        """What makes two methods the same: all but the title and where the weights lie."""
        return {
            "detector": self.detector,
            "backbone": self.backbone,
            "settings": self.settings.identity(),
        }


class SyntheticData(Frozen):
    """The dataset that is made on the spot (datasets/synthetic.py)."""

    categories: tuple[str, ...] | None = None
    size: int = Field(128, ge=16, le=1024)
    train: int = Field(48, ge=2)
    good: int = Field(24, ge=1)
    per_type: int = Field(12, ge=1)
    seed: int = Field(0, ge=0)


class Sweep(Frozen):
    """A sweep: categories × methods × shots × seeds on one dataset, at one input size, under the
    protocol of docs/method.md section 5.

    `part`: only test images of that part of groups.csv (a dataset's dev and final, say), which
    draws come from too. `unseen`: a defect type that no shot is drawn from, and the only one that
    is tested. `protocol`: 'holdout' tests what is not in the reserve; 'crossfit' tests every
    anomalous group once in `folds` folds, on models that saw the others': seed s stands for fold s
    mod folds of assignment s div folds, and without `shots` each fold learns from as many images as
    all of them can give. `only`: the methods that run, of those that are defined; the run folder is
    the same whichever are chosen. The largest seed and reserve are those that the run folder's
    columns hold (store/schemas.py).
    """

    job: str = Field("sweep", pattern=NAME)
    dataset: str | None = Field(None, pattern=NAME)
    synthetic: SyntheticData | None = None
    categories: tuple[str, ...] | None = None
    methods: dict[str, Method]
    only: tuple[str, ...] | None = None
    part: str | None = None
    unseen: str | None = Field(None, pattern=NAME)
    protocol: Literal["holdout", "crossfit"] = "holdout"
    folds: int = Field(5, ge=2, le=1000)
    shots: tuple[Annotated[int, Field(ge=1)], ...] = (1, 5, 10)
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = (0, 1, 2)
    reserve: int = Field(10, ge=1, lt=2**15)
    image_size: int = Field(224, ge=16, le=4096)
    resize: Literal["square", "letterbox", "crop"] = "square"
    false_alarms: Share = 0.05
    features: Literal["none", "bank"] = "none"
    skip_unreadable: bool = False
    threads: int = Field(1, ge=1, le=256)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _as_folds_need(cls, values: Any) -> Any:
        """Every fold once, and as many shots as there are, unless said otherwise."""
        if (
            isinstance(values, dict)
            and values.get("protocol") == "crossfit"
            and isinstance(folds := values.get("folds", 5), int)
        ):
            return {"shots": (), "seeds": tuple(range(min(folds, 1000))), **values}
        return values

    @field_validator("shots", "seeds")
    @classmethod
    def _each_once(cls, numbers: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        if (
            not numbers
            and others.field_name == "shots"
            and others.data.get("protocol") == "crossfit"
        ):
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
                raise ValueError(unknown("method", name, self.methods))
        return self

    @model_validator(mode="after")
    def _shots_within_the_reserve(self) -> Self:
        if self.protocol == "holdout" and max(self.shots) > self.reserve:
            raise ValueError(
                f"shots {max(self.shots)} are above the reserve of {self.reserve}: raise --reserve"
                f" to {max(self.shots)}"
            )
        return self

    @model_validator(mode="after")
    def _whole_assignments(self) -> Self:
        if self.protocol == "crossfit":
            if self.reserve != type(self).model_fields["reserve"].default:
                raise ValueError(
                    "protocol crossfit sets no reserve apart: leave 'reserve' out, or use protocol"
                    " holdout"
                )
            if self.unseen is not None:
                raise ValueError(
                    "protocol crossfit tests every defect type; 'unseen' needs protocol holdout"
                )
            if self.seeds != tuple(range(len(self.seeds))) or len(self.seeds) % self.folds:
                more = f"0,1,...,{2 * self.folds - 1} for two assignments"
                raise ValueError(
                    f"with {self.folds} folds seeds are folds: leave them out, or give {more} (got"
                    f" {list(self.seeds)})"
                )
        return self

    @property
    def crossfit(self) -> int | None:
        """The number of folds of the cross-fitting protocol; None under hold-out."""
        return self.folds if self.protocol == "crossfit" else None

    @property
    def chosen(self) -> dict[str, Method]:
        """The methods that run: those that `only` names, or all."""
        return {
            name: method
            for name, method in self.methods.items()
            if not self.only or name in self.only
        }

    def fixed(self) -> dict[str, Any]:
        """The settings that every trial of a run folder shares; seeds, shots, categories and
        methods may be added to it.
        """
        names = (
            "dataset",
            "synthetic",
            "reserve",
            "image_size",
            "resize",
            "false_alarms",
            "features",
            "skip_unreadable",
            "threads",
            "device",
            "precision",
        )
        return self.model_dump(mode="json", include={*names}) | self.split_identity()

    def split_identity(self) -> dict[str, Any]:
        """What makes the split another than the usual one, by name; nothing for the usual one, so
        that its ids stay what they were.
        """
        given = {
            name: getattr(self, name)
            for name in ("part", "unseen")
            if getattr(self, name) is not None
        }
        return given | ({"protocol": self.protocol, "folds": self.folds} if self.crossfit else {})


def digest(value: Any, length: int = 16) -> str:
    """The first hex digits of the sha256 of a JSON value in canonical form; the same in every
    process and on every platform.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def make_sweep(values: Mapping[str, Any], *, source: str) -> Sweep:
    """Validates settings; raises UsageError in one line that names the setting, what was given and
    what is allowed.
    """
    try:
        return Sweep.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{source}: {_explain(error, values)}") from None


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2  # an input of nested aliases would be written out beyond any size


def _explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = unknown("setting", str(first["loc"][-1]), _settings_beside(first["loc"], values))
        where = ".".join(str(part) for part in first["loc"][:-1])
    elif first["type"] not in ("value_error", "missing"):
        message = f"{message} (got {_SHORT.repr(first['input'])})"
    more = error.error_count() - 1
    return (f"{where}: " if where else "") + message + (f" (and {more} more)" if more else "")


def _settings_beside(location: tuple[int | str, ...], values: Mapping[str, Any]) -> Iterable[str]:
    """The valid names where an unknown setting stood."""
    match location:
        case ("methods", _, "settings", "losses", _):
            return Losses.model_fields
        case ("methods", name, "settings", _):
            return settings_class(values["methods"][name].get("detector", "patchcore")).model_fields
        case ("methods", _, _):
            return Method.model_fields
        case ("synthetic", _):
            return SyntheticData.model_fields
    return Sweep.model_fields
