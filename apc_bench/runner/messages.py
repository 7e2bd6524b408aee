"""What travels to a worker and back: what all steps of a sweep share, and how a step
ended. Loads no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apc_bench.datasets.encoding import Encoding
from apc_bench.networks.weights import Network
from apc_bench.plan import Step
from apc_bench.settings.sweep import Sweep


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What every step of a sweep shares: settings (device and precision resolved), places, and the
    hashes that it must find there.

    fingerprints: category -> fingerprint; encodings: category -> how its files are to be
    understood; weights: method -> sha256; environment: what decides bits
    (store/provenance.py); packages: detector of another package -> `name version`; libraries: what
    else some method computes with -> its version; networks: method -> its backbone, where another
    package makes it; holding: the sweep's name for its hold on the
    run folder (store/lock.py); step_timeout: seconds after which a step ends its own process, which
    must then be a worker's.
    """

    sweep: Sweep
    run: Path
    data: Path
    cache: Path
    fingerprints: Mapping[str, str]
    encodings: Mapping[str, Encoding]
    weights: Mapping[str, str]
    environment: Mapping[str, str]
    packages: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    holding: str | None = None
    step_timeout: float | None = None

    def note_of_time_limit(self, result_key: str) -> Path:
        """Where a step that took too long leaves its stacks (time_limit.py)."""
        return self.run / "attempts" / f"{result_key}.stacks"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. `reason`: one line; `traceback`: of a bug; `fatal`: a storage failure,
    after which going on makes no sense; `recorded`: whether the worker wrote it to the attempts
    log, which a lost one could not; `wants_whole_gpu`: it ran out of GPU memory; `loading`: of the
    seconds, those that its process took to load libraries, which it does once.
    """

    ok: bool
    seconds: float
    reason: str | None = None
    traceback: str | None = None
    fatal: bool = False
    recorded: bool = True
    wants_whole_gpu: bool = False
    loading: float = 0.0


def attempted(step: Step) -> dict[str, str]:
    """What each line of the attempts log says of its step (store/attempts.py)."""
    return {"result_key": step.result_key, "kind": step.kind, "step": step.name}
