"""The detectors' settings: frozen, validated values, every one of them part of a result's key. No
torch here.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from apc_bench import plugins
from apc_bench.errors import UsageError, unknown

Layer = Literal["layer1", "layer2", "layer3", "layer4"]
Share = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class Frozen(BaseModel):
    """A settings value: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DetectorSettings(Frozen):
    """What every detector has: the stages of the backbone that it reads, and the smoothing of its
    anomaly maps in pixels of the input.

    `fine_tuned`: whether it learns from anomalous images in a step of its own, which `training`
    gives the settings of.
    """

    fine_tuned: ClassVar[bool] = False

    layers: tuple[Layer, ...] = ("layer2", "layer3")
    sigma: float = Field(4.0, ge=0, le=64)

    @field_validator("layers")
    @classmethod
    def _ordered(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        if not layers or list(layers) != sorted(set(layers)):
            raise ValueError(
                "must name at least one layer, each once, shallow first, such as [layer2, layer3]"
            )
        return layers

    def identity(self) -> dict[str, Any]:
        """The settings that make a detector another one, as JSON values."""
        return self.model_dump(mode="json")

    def training(self) -> dict[str, Any]:
        """The settings that the training depends on, as JSON values; methods that agree in them
        share one training.
        """
        return self.model_dump(mode="json")


class PatchCoreSettings(DetectorSettings):
    """PatchCore (docs/method.md section 2). `distance` and `reweight_neighbours` change scores;
    `patches_max` and `bank_max` bound huge categories.
    """

    neighbourhood: Literal[1, 3, 5, 7] = 3
    pretrain_dim: int = Field(1024, ge=1, le=8192)
    target_dim: int = Field(1024, ge=1, le=8192)
    coreset_ratio: float = Field(0.1, gt=0, le=1)
    projection_dim: int | None = Field(128, ge=1)
    starting_points: int = Field(10, ge=1)
    distance: Literal["squared", "euclidean"] = "squared"
    reweight_neighbours: int = Field(0, ge=0, le=64)
    patches_max: int | None = Field(None, ge=1)
    bank_max: int | None = Field(None, ge=1)


class Losses(Frozen):
    """Weights of the three auxiliary tasks: L = 10·L_cls + L_segm + L_recon (docs/method.md section
    3). 0 switches a task off.
    """

    classification: Weight = 10.0
    segmentation: Weight = 1.0
    reconstruction: Weight = 1.0

    @model_validator(mode="after")
    def _some_task(self) -> Self:
        if self.classification == self.segmentation == self.reconstruction == 0:
            raise ValueError(
                "at least one of classification, segmentation and reconstruction must be above 0"
            )
        return self


class BatchSettings(Frozen):
    """How a training draws its batches and changes the images: fixed length, a fixed share of
    anomalous images, light augmentation.
    """

    steps: int = Field(300, ge=1)
    batch: int = Field(16, ge=2)
    anomalous_share: Share = 0.5
    jitter: float = Field(0.1, ge=0, le=1)
    shift: float = Field(0.05, ge=0, le=0.5)
    rotation: float = Field(5.0, ge=0, le=180)
    flip: bool = False


class ApcSettings(PatchCoreSettings, BatchSettings):
    """AnomalousPatchCore (docs/method.md section 3): PatchCore on an extractor that was fine-tuned
    with a few anomalous samples.

    All but the loss weights is this project's decision ([ours] in docs/method.md); each is a switch
    for ablations. `normals`: fine-tuning and memory bank share all normal images, each has a half
    of its own, or both have the same half (so that only the sharing differs).
    """

    fine_tuned: ClassVar[bool] = True

    losses: Losses = Losses()
    rate_extractor: float = Field(1e-4, ge=0)
    rate_heads: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch_norm: Literal["frozen", "trainable"] = "frozen"
    skips: Literal["all", "deep", "none"] = "all"
    segmentation_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    positive_weight_max: float = Field(20.0, ge=1)
    reconstruct: Literal["all", "normal_pixels"] = "all"
    normals: Literal["shared", "separate", "half"] = "shared"

    def identity(self) -> dict[str, Any]:
        """Without `normals` where they are shared, so that ids stay what they were before there was
        a choice.
        """
        return self.model_dump(
            mode="json", exclude={"normals"} if self.normals == "shared" else None
        )

    def training(self) -> dict[str, Any]:
        """The settings that the fine-tuning depends on: what only shapes the memory bank is left
        out, so that an ablation fine-tunes once.
        """
        own = self.model_dump(mode="json", exclude={*PatchCoreSettings.model_fields, "normals"})
        return own | {"stored": max("layer3", *self.layers), **self.tuned_on()}

    def tuned_on(self) -> dict[str, Any]:
        """Which of the normal images the training sees; nothing where all, as ever."""
        return {} if self.normals == "shared" else {"normals": "half"}


class ApcPlusSettings(ApcSettings):
    """APC+ (this project's own): the memory bank's map, and beside it what the drawn images teach;
    each a switch with its weight.

    Every part is standardised on held-out normal training images (docs/method.md section 5), then
    weighted and added. The default keeps the extractor frozen and adds a patch classifier on its
    features; the weight of what was learned from n masked images is shrunk by n / (n + 1). Chosen
    on the synthetic set and the magnetic tiles' `dev` part.

    `only_adds`: below its normal mean a part beside the bank counts as nothing, so that defects it
    never saw are not argued away. `interpolation`: the share of the fine-tuned weights in the
    extractor (0: frozen, nothing is fine-tuned); `classifier`, `classifier_image`: the classifier's
    weight in map and image score; `frozen_bank`: of a second bank of frozen features beside the
    fine-tuned one; `segmentation`: of the segmentation head's map, for map and image score. The
    classifier is a perceptron of one hidden layer; a patch counts as anomalous from
    `classifier_share` of its area on.
    """

    interpolation: float = Field(0.0, ge=0, le=1)
    classifier: Weight = 1.0
    classifier_image: Weight = 0.5
    only_adds: bool = True
    frozen_bank: Weight = 0.0
    segmentation: Weight = 0.0
    classifier_steps: int = Field(500, ge=1)
    classifier_width: int = Field(128, ge=1)
    classifier_rate: float = Field(1e-3, gt=0)
    classifier_decay: float = Field(1e-2, ge=0)
    classifier_noise: float = Field(0.3, ge=0)
    classifier_share: Share = 0.3

    @property
    def tunes(self) -> bool:
        """Whether anything needs the three-task fine-tuning."""
        return self.interpolation > 0 or self.segmentation > 0

    @property
    def classifies(self) -> bool:
        """Whether the patch classifier is trained."""
        return self.classifier > 0 or self.classifier_image > 0

    @model_validator(mode="after")
    def _two_different_banks(self) -> Self:
        if self.frozen_bank and not self.interpolation:
            raise ValueError(
                "frozen_bank adds frozen features to fine-tuned ones: set interpolation above 0"
            )
        return self

    def training(self) -> dict[str, Any]:
        """What the parts that are trained depend on: weights at which they are added are left out,
        so that an ablation trains once.
        """
        own: dict[str, Any] = {"stored": max("layer3", *self.layers), **self.tuned_on()}
        if self.tunes:
            own |= self.model_dump(
                mode="json", exclude={*PatchCoreSettings.model_fields, *_APC_PLUS, "normals"}
            )
        if self.classifies:
            read = {"layers", "neighbourhood", "pretrain_dim", "target_dim"}
            trained = {name for name in _APC_PLUS if name.startswith("classifier_")} - {
                "classifier_image"
            }
            own |= self.model_dump(mode="json", include=read | trained)
        return own


_APC_PLUS = set(ApcPlusSettings.model_fields) - set(ApcSettings.model_fields)


class PRNetSettings(DetectorSettings, BatchSettings):
    """PRNet (docs/method.md section 4) under this project's protocol: fixed length, drawn images
    alone, no look at the test set.

    `prototypes`: k-means over the normal images' whole maps (a share of their number as clusters),
    or their mean map alone; `residuals`, `attention`, `fusion`: False leaves the block out, and
    without all three a plain U-Net on frozen features is left. `generated`: the share of a batch's
    anomalous images that are generated; `textures`: a folder of images to paste from, instead of
    procedural textures. The reference trains 700 epochs at batch 48; `steps` and `batch` are scaled
    to a small budget here, and `rate` with them [ours].
    """

    fine_tuned: ClassVar[bool] = True

    layers: tuple[Layer, ...] = ("layer1", "layer2", "layer3")
    sigma: float = Field(0.0, ge=0, le=64)
    prototypes: Literal["k_means", "mean"] = "k_means"
    prototype_share: float = Field(0.1, gt=0, le=1)
    residuals: bool = True
    attention: bool = True
    attention_layers: int = Field(3, ge=1, le=8)
    fusion: bool = True
    generated: float = Field(0.5, ge=0, le=1)
    textures: str | None = None
    rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    focal_weight: Weight = 5.0
    focal_alpha: Share = 0.5
    focal_gamma: float = Field(4.0, ge=0)
    top_pixels: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _several_layers(self) -> Self:
        if len(self.layers) < 2:
            raise ValueError(
                "PRNet exchanges between resolutions: layers must name at least two stages"
            )
        return self

    def training(self) -> dict[str, Any]:
        """All settings but what only reads the maps."""
        return self.model_dump(mode="json", exclude={"sigma", "top_pixels"})


DETECTORS: dict[str, type[DetectorSettings]] = {
    "patchcore": PatchCoreSettings,
    "apc": ApcSettings,
    "apc+": ApcPlusSettings,
    "prnet": PRNetSettings,
}
"""Our own detectors; other packages add theirs (plugins.py)."""


def plugged(detector: str) -> plugins.Plugin | None:
    """The package that the detector comes from; None for one of our own, or an unknown one. Raises
    UsageError where names clash.
    """
    return plugins.plugin(plugins.DETECTORS, detector, own=DETECTORS)


def settings_class(detector: str) -> type[DetectorSettings]:
    """The class of a detector's settings. Raises UsageError for an unknown detector, and for a
    plugin that does not fit.
    """
    found = plugged(detector)
    if found is None:
        if detector not in DETECTORS:
            raise UsageError(
                unknown("detector", detector, {**DETECTORS, **plugins.offered(plugins.DETECTORS)})
            )
        return DETECTORS[detector]
    detector_class = found.load()
    kind = getattr(detector_class, "settings_class", None)
    if not (isinstance(kind, type) and issubclass(kind, DetectorSettings)):
        raise UsageError(
            f"{found} does not fit: its settings_class must be a subclass of"
            " apc_bench.settings.detectors.DetectorSettings"
        )
    if lacking := [
        method for method in ("train", "fit") if not callable(getattr(detector_class, method, None))
    ]:
        raise UsageError(
            f"{found} does not fit: it lacks {' and '.join(lacking)}"
            " (apc_bench.detectors.protocol.Detector)"
        )
    return kind
