"""What can be wrong with a model of anomalib before the first step, where every one would fail."""

from apc_bench.detectors.anomalib.surroundings import load_anomalib, quiet, seeded
from apc_bench.networks.weights import Weights
from apc_bench.settings.anomalib import AnomalibSettings
from apc_bench.settings.sweep import Method
from apc_bench.wording import counted


def check(method: Method, weights: Weights | None, size: int) -> list[str]:
    """Builds the method's model once for images of `size` pixels, without learning; `weights`: None
    where they are not here yet, and only the settings are checked. What the user should know.

    Raises UsageError without anomalib, for an argument that the model does not have, and for a
    folder of photos that it lacks; WeightsError for weights that do not fit.
    """
    settings = method.settings
    assert isinstance(settings, AnomalibSettings)
    load_anomalib()
    with quiet():
        from anomalib.models import image as models

        from apc_bench.detectors.anomalib.building import build, check_arguments, check_images
    check_images(settings)
    notes: tuple[str, ...] = ()
    if weights is None:
        check_arguments(settings, getattr(models, settings.model))
    else:
        with seeded(0):
            notes = build(method, weights.path, size).notes
    return [*notes, *_lines(settings)]


def _lines(settings: AnomalibSettings) -> list[str]:
    """How long it is trained, and what it learns from."""
    name, lines = f"anomalib's {settings.model}", []
    if settings.trains:
        length = counted(
            settings.steps or settings.epochs or 0, "step" if settings.steps else "epoch"
        )
        lines.append(
            f"{name} is trained for {length}, {counted(settings.batch_size, 'image')} a step"
        )
    if not settings.learns_from_anomalous:
        lines.append(
            f"{name} learns from normal images alone: it is scored once, for every number of shots"
        )
    return lines
