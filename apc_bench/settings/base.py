"""What settings are made of: frozen, validated values that take a renamed setting under both its
names, and what the detectors' settings have in common. No torch here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from apc_bench.settings.backbones import check_layers

LAYERS = ("layer1", "layer2", "layer3", "layer4")
"""The stages that every backbone has under these names, as far as it is deep."""

Share = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


def _as_name(layer: Any) -> Any:
    """A stage's number is its name, too."""
    return str(layer) if isinstance(layer, int) and not isinstance(layer, bool) else layer


Layer = Annotated[str, BeforeValidator(_as_name), Field(min_length=1, max_length=100)]
"""A stage of a backbone: layer1 to layer4, and of one of timm's also its own name or number."""


class Frozen(BaseModel):
    """A settings value: immutable, no unknown keys; the docstring under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class DetectorSettings(Frozen):
    """What every detector has: the stages of the backbone that it reads, and how its maps are
    smoothed.
    """

    fine_tuned: ClassVar[bool] = False
    """Whether it learns from anomalous images in a step of its own, which `training` gives the
    settings of, and holds normal images out of it to calibrate with. `trains`,
    `learns_from_anomalous` and `holds_out` tell these apart where a detector's settings decide.
    """
    former_names: ClassVar[Mapping[str, str]] = {}
    """A setting that was renamed -> its first name, under which ids and run folders know it for
    ever; job files may use either.
    """

    implied: ClassVar[Mapping[str, Any]] = {}
    """A setting that came later -> what held before there was a choice: the value that a run folder
    without it had, and that ids leave out, so that they stay what they were.
    """

    layers: tuple[Layer, ...] = ("layer2", "layer3")
    """Stages of the backbone that are read, shallow first; of timm's by name or number."""
    sigma: float = Field(4.0, ge=0, le=64)
    """Standard deviation of the anomaly map's Gaussian smoothing, in pixels of the input."""

    @classmethod
    def todays_names(cls) -> dict[str, str]:
        """Former name -> the name of today."""
        return {former: name for name, former in cls.former_names.items()}

    @model_validator(mode="before")
    @classmethod
    def _under_todays_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        todays = cls.todays_names()
        settings: dict[Any, Any] = {}
        for given, value in values.items():
            name: Any = todays.get(given, given)
            if name in settings:
                raise ValueError(f"{cls.former_names[name]} is called {name} now: give one of them")
            settings[name] = value
        return settings

    @model_serializer(mode="wrap")
    def _under_first_names(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = serialise(self)
        return {self.former_names.get(name, name): value for name, value in values.items()}

    @field_validator("layers")
    @classmethod
    def _ordered(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        ours = [layer for layer in layers if layer in LAYERS]
        if not layers or len(set(layers)) < len(layers) or ours != sorted(ours):
            raise ValueError(
                "must name at least one layer, each once, shallow first, such as [layer2, layer3]"
            )
        return layers

    def check_backbone(self, backbone: str) -> None:
        """Raises UsageError for a backbone that it cannot be built on, or that has not its
        layers.
        """
        check_layers(backbone, self.layers)

    def identity(self) -> dict[str, Any]:
        """The settings that make a detector another one, as JSON values under their first names;
        without what was implied before it was a setting.
        """
        return self.model_dump(mode="json", exclude=self.as_before())

    def as_before(self) -> set[str]:
        """The settings that have their implied values."""
        return {name for name, value in self.implied.items() if getattr(self, name) == value}

    @property
    def trains(self) -> bool:
        """Whether it is trained in a step of its own."""
        return self.fine_tuned

    @property
    def learns_from_anomalous(self) -> bool:
        """Whether it learns from the drawn images; else it is the same for every number of shots,
        and is scored once for all.
        """
        return self.fine_tuned

    @property
    def without_masks(self) -> str | None:
        """What it does where no drawn image has a mask, said before a sweep as in `PRNet can
        learn from generated defects alone`; None: it learns from the drawn images all the same.
        """
        return None

    @property
    def holds_out(self) -> bool:
        """Whether normal images are held out of what it learns from, to calibrate with."""
        return self.fine_tuned

    @property
    def controlled(self) -> bool:
        """Whether the normal images that it learned from help to set the threshold, by their
        distance to its memory bank (metrics/controlled.py).
        """
        return False

    def images_trained_on(self, normal: int) -> float:
        """How many images all steps of its training take in, with `normal` images to learn from: to
        order steps and to estimate time. Another package's settings may count them otherwise.
        """
        batch: float = getattr(self, "batch", 16)
        steps: float = getattr(self, "steps", 300)
        return batch * steps

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions beside those that every detector computes with (store/provenance.py)."""
        return ()

    def training(self) -> dict[str, Any]:
        """The settings that the training depends on, as JSON values under their first names;
        methods that agree in them share one training.
        """
        return self.identity()


class BatchSettings(Frozen):
    """How a training draws its batches and changes the images: fixed length, a fixed share of
    anomalous images, light augmentation.
    """

    steps: int = Field(300, ge=1)
    """Steps of the optimiser; the training's fixed length."""
    batch: int = Field(16, ge=2)
    """Images of a step."""
    anomalous_share: Share = 0.5
    """Share of a batch that is anomalous."""
    jitter: float = Field(0.1, ge=0, le=1)
    """Largest relative change of brightness and contrast; of each channel a third of it."""
    shift: float = Field(0.05, ge=0, le=0.5)
    """Largest shift of an image, as a share of its side."""
    rotation: float = Field(5.0, ge=0, le=180)
    """Largest turn of an image, in degrees."""
    flip: bool = False
    """Whether images are mirrored at random, along either side."""
    scale: float = Field(0.0, ge=0, le=1)
    """Largest relative change of an image's size, larger or smaller."""
