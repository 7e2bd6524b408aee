"""The detectors' settings: frozen, validated values, every one of them part of a result's key. No
torch here.

The line under each field is its description (`Settings.model_fields[name].description`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from apc_bench import plugins
from apc_bench.errors import UsageError, unknown
from apc_bench.settings.anomalib import ANOMALIB, AnomalibSettings, packages
from apc_bench.settings.base import (
    LAYERS,
    BatchSettings,
    DetectorSettings,
    Frozen,
    Layer,
    Share,
    Weight,
)
from apc_bench.settings.search import EXACT, FaissSearch, Search

__all__ = ["DetectorSettings"]  # detectors of other packages extend it


class PatchCoreSettings(DetectorSettings):
    """PatchCore (docs/method.md section 2)."""

    implied: ClassVar[Mapping[str, Any]] = {"search": EXACT}

    neighbourhood: Literal[1, 3, 5, 7] = 3
    """Side of the square of patches whose features are averaged."""
    pretrain_dim: int = Field(1024, ge=1, le=8192)
    """Values that each layer's patch features are pooled to."""
    target_dim: int = Field(1024, ge=1, le=8192)
    """Values of a patch in the memory bank, pooled from all its layers."""
    coreset_ratio: float = Field(0.1, gt=0, le=1)
    """Share of the training patches that the memory bank keeps."""
    projection_dim: int | None = Field(128, ge=1)
    """Values of the random projection that the coreset is chosen in; null: none."""
    starting_points: int = Field(10, ge=1)
    """Random patches that the coreset's choice starts from."""
    distance: Literal["squared", "euclidean"] = "squared"
    """Whether a patch's score is the distance to its nearest neighbour, or its square."""
    reweight_neighbours: int = Field(0, ge=0, le=64)
    """Neighbours in the paper's re-weighting of the image score; 0: none."""
    patches_max: int | None = Field(None, ge=1)
    """At most so many training patches go into the coreset's choice; null: all."""
    bank_max: int | None = Field(None, ge=1)
    """At most so many patches stay in the memory bank; null: as many as coreset_ratio says."""
    search: Search = EXACT
    """How nearest vectors are found; {faiss: HNSW32}, or any index of faiss: approximately."""

    @property
    def approximate_search(self) -> FaissSearch | None:
        """The search where it is not exact."""
        return self.search if isinstance(self.search, FaissSearch) else None

    @property
    def libraries(self) -> tuple[str, ...]:
        """As DetectorSettings says."""
        return () if self.approximate_search is None else ("faiss-cpu",)


class Losses(Frozen):
    """Weights of the three auxiliary tasks: L = 10·L_cls + L_segm + L_recon (docs/method.md section
    3). 0 switches a task off.
    """

    classification: Weight = 10.0
    """Weight of telling normal from anomalous images."""
    segmentation: Weight = 1.0
    """Weight of telling normal from anomalous pixels."""
    reconstruction: Weight = 1.0
    """Weight of reconstructing the image."""

    @model_validator(mode="after")
    def _some_task(self) -> Self:
        if self.classification == self.segmentation == self.reconstruction == 0:
            raise ValueError(
                "at least one of classification, segmentation and reconstruction must be above 0"
            )
        return self


_UNTRAINED = {*PatchCoreSettings.model_fields, "normals", "weight_interpolation", "calibrate_on"}
"""Settings of APC that come after the fine-tuning, or are told otherwise (`trained_on`)."""


class ApcSettings(PatchCoreSettings, BatchSettings):
    """AnomalousPatchCore (docs/method.md section 3): PatchCore on an extractor that was fine-tuned
    with a few anomalous samples.

    All but the loss weights is this project's decision ([ours] in docs/method.md); each is a switch
    for ablations. Crops are not shifted, and a drawn image without a mask stays whole.
    """

    fine_tuned: ClassVar[bool] = True
    former_names: ClassVar[Mapping[str, str]] = {
        "extractor_learning_rate": "rate_extractor",
        "heads_learning_rate": "rate_heads",
        "weight_interpolation": "interpolation",
    }
    implied: ClassVar[Mapping[str, Any]] = {
        **PatchCoreSettings.implied,
        "crop": None,
        "crop_on_defect": 0.5,
        "scale": 0.0,
        "normals": "shared",
        "weight_interpolation": 1.0,
        "calibrate_on": "held_out",
    }

    steps: int = Field(150, ge=1)
    """Steps of the optimiser; the training's fixed length."""
    jitter: float = Field(0.3, ge=0, le=1)
    """Largest relative change of brightness and contrast; of each channel a third of it."""
    rotation: float = Field(180.0, ge=0, le=180)
    """Largest turn of an image, in degrees."""
    flip: bool = True
    """Whether images are mirrored at random, along either side."""
    scale: float = Field(0.2, ge=0, le=1)
    """Largest relative change of an image's size, larger or smaller."""
    crop: float | None = Field(0.6, gt=0, le=1)
    """Side of the crops that are learned from, as a share of the image's; null: whole images."""
    crop_on_defect: float = Field(0.5, ge=0, le=1)
    """Share of the drawn images' crops that are laid on the anomaly."""
    losses: Losses = Losses()
    """Weights of the three tasks that the extractor is fine-tuned on."""
    extractor_learning_rate: float = Field(3e-5, ge=0)
    """Learning rate of the extractor at the start; 0: it stays as it is."""
    heads_learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the decoder and the three heads at the start."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay of AdamW."""
    batch_norm: Literal["frozen", "trainable"] = "frozen"
    """Whether the extractor's batch norms keep their running statistics."""
    skips: Literal["all", "deep", "none"] = "all"
    """Stages that the decoder joins on its way up: all, only layer2 and layer3, or none."""
    segmentation_loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """The loss of a pixel."""
    positive_weight_max: float = Field(20.0, ge=1)
    """Largest weight of anomalous pixels against their rarity."""
    reconstruct: Literal["all", "normal_pixels"] = "all"
    """Whether anomalous pixels are reconstructed too."""
    normals: Literal["shared", "separate", "half"] = "shared"
    """Normal images: all for fine-tuning and bank, a half for each, or the same half for both."""
    weight_interpolation: float = Field(0.6, ge=0, le=1)
    """Share of the fine-tuned weights in the bank's extractor, beside the frozen ones; 1: alone."""
    calibrate_on: Literal["all", "held_out"] = "all"
    """Normal images that set the threshold: those learned from too, by their distances, or not."""

    @property
    def controlled(self) -> bool:
        """As the base class says."""
        return self.calibrate_on == "all"

    def training(self) -> dict[str, Any]:
        """The settings that the fine-tuning depends on: what only shapes the memory bank is left
        out, so that an ablation fine-tunes once.
        """
        own = self.model_dump(mode="json", exclude=_UNTRAINED | self.as_before())
        return own | self.trained_on()

    def trained_on(self) -> dict[str, Any]:
        """How deep the extractor is trained, and which of the normal images it sees; nothing of
        these where all, as ever.
        """
        depth: dict[str, Any] = {"stored": list(self.layers)}
        if set(self.layers) <= set(LAYERS):
            depth = {"stored": max("layer3", *self.layers)}
        return depth if self.normals == "shared" else {**depth, "normals": "half"}

    @property
    def without_masks(self) -> str | None:
        """As the base class says: the segmentation loss takes masks."""
        return "can learn from image labels alone"


CLASSIFIER_OFF = "no drawn image has a usable mask: the patch classifier is off"
"""The note of a trial of APC+ whose classifier had nothing to learn from."""


class ApcPlusSettings(ApcSettings):
    """APC+ (this project's own): the memory bank's map, and beside it what the drawn images teach;
    each a switch with its weight.

    Every part is standardised on held-out normal training images (docs/method.md section 5), then
    weighted and added. The default keeps the extractor frozen and adds a patch classifier, a
    perceptron of one hidden layer, on its features; the weight of what was learned from n masked
    images is shrunk by n / (n + 1). Chosen on the synthetic set and the magnetic tiles' `dev` part.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        **ApcSettings.former_names,
        "classifier_learning_rate": "classifier_rate",
    }
    implied: ClassVar[Mapping[str, Any]] = {
        name: value
        for name, value in ApcSettings.implied.items()
        if name != "weight_interpolation"  # APC+ had that choice from the start
    } | {"fused_image": 0.0, "classifier_views": 0, "classifier_normal_views": 0}

    weight_interpolation: float = Field(0.0, ge=0, le=1)
    """Share of the fine-tuned weights in the memory bank's extractor; 0: nothing is fine-tuned."""
    classifier: Weight = 1.0
    """Weight of the patch classifier in the anomaly map."""
    classifier_image: Weight = 0.5
    """Weight of the patch classifier in the image score."""
    fused_image: Weight = 1.0
    """Weight of the whole map's largest patch in the image score."""
    only_adds: bool = True
    """Whether a part beside the bank counts as nothing below its normal mean."""
    frozen_bank: Weight = 0.0
    """Weight of a second bank, of frozen features, beside the fine-tuned one."""
    segmentation: Weight = 0.0
    """Weight of the segmentation head's map, in map and image score."""
    classifier_steps: int = Field(500, ge=1)
    """Steps of the classifier's training."""
    classifier_width: int = Field(128, ge=1)
    """Units of the classifier's hidden layer."""
    classifier_learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the classifier."""
    classifier_decay: float = Field(1e-2, ge=0)
    """Weight decay of the classifier's AdamW."""
    classifier_noise: float = Field(0.3, ge=0)
    """Standard deviation of the noise on the classifier's standardised features."""
    classifier_share: Share = 0.3
    """A patch counts as anomalous from this share of its area on."""
    classifier_views: int = Field(8, ge=0)
    """Changed views of each drawn image that the classifier learns from beside it."""
    classifier_normal_views: int = Field(60, ge=0)
    """Normal images that it learns from in a changed view, too."""

    @property
    def tunes(self) -> bool:
        """Whether anything needs the three-task fine-tuning."""
        return self.weight_interpolation > 0 or self.segmentation > 0

    @property
    def classifies(self) -> bool:
        """Whether the patch classifier is trained."""
        return self.classifier > 0 or self.classifier_image > 0

    @property
    def without_masks(self) -> str | None:
        """As the base class says: a patch classifier takes masks, a fine-tuning not all."""
        told = "can learn nothing from the defects and will rank as PatchCore does"
        return super().without_masks if self.tunes else told

    @model_validator(mode="after")
    def _two_different_banks(self) -> Self:
        if self.frozen_bank and not self.weight_interpolation:
            raise ValueError(
                "frozen_bank adds frozen features to fine-tuned ones: set weight_interpolation"
                " above 0"
            )
        return self

    def training(self) -> dict[str, Any]:
        """What the parts that are trained depend on: weights at which they are added are left out,
        so that an ablation trains once.
        """
        own = self.trained_on()
        if self.tunes:
            untrained = _UNTRAINED | _APC_PLUS | self.as_before()
            own |= self.model_dump(mode="json", exclude=untrained)
        if self.classifies:
            features = {"layers", "neighbourhood", "pretrain_dim", "target_dim"}
            views = self.classifier_views or self.classifier_normal_views
            included = features | _CLASSIFIER | (_CHANGES if views else set())
            own |= self.model_dump(mode="json", include=included - self.as_before())
        return own


_APC_PLUS = set(ApcPlusSettings.model_fields) - set(ApcSettings.model_fields)
_CHANGES = {"jitter", "shift", "rotation", "flip", "scale"}
_CLASSIFIER = {name for name in _APC_PLUS if name.startswith("classifier_")} - {"classifier_image"}


class PRNetSettings(DetectorSettings, BatchSettings):
    """PRNet (docs/method.md section 4) under this project's protocol: fixed length, drawn images
    alone, no look at the test set.

    Without residuals, attention and fusion a plain U-Net on frozen features is left. The reference
    trains 700 epochs at batch 48; `steps` and `batch` are scaled to a small budget here, and
    `learning_rate` with them [ours].
    """

    fine_tuned: ClassVar[bool] = True
    former_names: ClassVar[Mapping[str, str]] = {"learning_rate": "rate"}
    implied: ClassVar[Mapping[str, Any]] = {"scale": 0.0}

    layers: tuple[Layer, ...] = ("layer1", "layer2", "layer3")
    """Stages of the frozen backbone that the network exchanges between; at least two."""
    sigma: float = Field(0.0, ge=0, le=64)
    """Standard deviation of the anomaly map's Gaussian smoothing, in pixels of the input."""
    prototypes: Literal["k_means", "mean"] = "k_means"
    """Prototypes of a normal image's maps: k-means over the normal images, or their mean alone."""
    prototype_share: float = Field(0.1, gt=0, le=1)
    """Clusters of the k-means, as a share of the normal images."""
    residuals: bool = True
    """Whether the distance to the nearest prototype goes in beside the features."""
    attention: bool = True
    """Whether the stages have self-attention between patches of four sizes."""
    attention_layers: int = Field(3, ge=1, le=8)
    """Layers of the self-attention."""
    fusion: bool = True
    """Whether the stages exchange between their resolutions."""
    generated: float = Field(0.5, ge=0, le=1)
    """Share of a batch's anomalous images that are generated."""
    textures: str | None = None
    """A folder of images to paste from; null: procedural textures."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of Adam at the start."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay of Adam."""
    focal_weight: Weight = 5.0
    """Weight of the focal loss beside the smooth L1 loss."""
    focal_alpha: Share = 0.5
    """Weight of anomalous pixels in the focal loss."""
    focal_gamma: float = Field(4.0, ge=0)
    """Exponent of the focal loss."""
    top_pixels: int = Field(100, ge=1)
    """Highest pixels of the map whose mean is the image score."""

    @property
    def without_masks(self) -> str | None:
        """As the base class says."""
        return "can learn from generated defects alone"

    @model_validator(mode="after")
    def _several_layers(self) -> Self:
        if len(self.layers) < 2:
            raise ValueError(
                "PRNet exchanges between resolutions: layers must name at least two stages"
            )
        return self

    def training(self) -> dict[str, Any]:
        """All settings but what only reads the maps."""
        return self.model_dump(mode="json", exclude={"sigma", "top_pixels", *self.as_before()})


DETECTORS: dict[str, type[DetectorSettings]] = {
    "patchcore": PatchCoreSettings,
    "apc": ApcSettings,
    "apc+": ApcPlusSettings,
    "prnet": PRNetSettings,
    ANOMALIB: AnomalibSettings,
}
"""Our own detectors, and anomalib's models as one; other packages add theirs (plugins.py)."""


def plugin_of(detector: str) -> plugins.Plugin | None:
    """The package that the detector comes from; None for one of our own, or an unknown one. Raises
    UsageError where names clash.
    """
    return plugins.plugin(plugins.DETECTORS, detector, own=DETECTORS)


def package_of(detector: str) -> str | None:
    """`name version` of the package that the detector comes from; None for one of our own, and
    where anomalib is not installed. Raises UsageError where names clash.
    """
    plugin = plugin_of(detector)
    if detector == ANOMALIB:
        return packages()
    return plugin.package if plugin else None


def settings_class(detector: str) -> type[DetectorSettings]:
    """The class of a detector's settings. Raises UsageError for an unknown detector, and for a
    plugin that does not fit.
    """
    plugin = plugin_of(detector)
    if plugin is None:
        if detector not in DETECTORS:
            known = {**DETECTORS, **plugins.offered(plugins.DETECTORS)}
            raise UsageError(unknown("detector", detector, known))
        return DETECTORS[detector]
    detector_class = plugin.load()
    own_class = getattr(detector_class, "settings_class", None)
    if not (isinstance(own_class, type) and issubclass(own_class, DetectorSettings)):
        raise UsageError(
            f"{plugin} does not fit: its settings_class must be a subclass of"
            " apc_bench.settings.detectors.DetectorSettings"
        )
    needed = ("train", "fit")
    missing = [name for name in needed if not callable(getattr(detector_class, name, None))]
    if missing:
        raise UsageError(
            f"{plugin} does not fit: it lacks {' and '.join(missing)}"
            " (apc_bench.detectors.protocol.Detector)"
        )
    return own_class
