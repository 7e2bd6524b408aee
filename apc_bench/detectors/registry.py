"""The detectors by name: our own, and those of other packages (plugins.py)."""

from collections.abc import Mapping

from apc_bench.detectors.anomalib.detector import Anomalib
from apc_bench.detectors.apc import Apc
from apc_bench.detectors.apc_plus import ApcPlus
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.prnet import PRNetDetector
from apc_bench.detectors.protocol import Detector
from apc_bench.errors import UsageError, unknown
from apc_bench.settings.anomalib import ANOMALIB
from apc_bench.settings.detectors import plugin_of, settings_class

OWN: Mapping[str, type[Detector]] = {
    "patchcore": PatchCore,
    "apc": Apc,
    "apc+": ApcPlus,
    "prnet": PRNetDetector,
    ANOMALIB: Anomalib,
}
"""settings.detectors.DETECTORS has their settings under the same names."""


def detector_class(name: str) -> type[Detector]:
    """The class of a detector. Raises UsageError for an unknown name, and for a plugin that does
    not fit the protocol.
    """
    plugin = plugin_of(name)
    if plugin is not None:
        settings_class(name)
        kind: type[Detector] = plugin.load()
        return kind
    if name not in OWN:
        raise UsageError(
            f"{unknown('detector', name, OWN)}; is the package that offers it installed on this"
            " machine?"
        )
    return OWN[name]
