"""The detectors by name; detector_settings.DETECTORS has their settings under the same names."""

from collections.abc import Mapping

from apc_bench.detectors.apc import Apc
from apc_bench.detectors.apc_plus import ApcPlus
from apc_bench.detectors.patchcore import PatchCore
from apc_bench.detectors.prnet import PRNetDetector
from apc_bench.detectors.protocol import Detector

REGISTRY: Mapping[str, type[Detector]] = {"patchcore": PatchCore, "apc": Apc, "apc+": ApcPlus, "prnet": PRNetDetector}
