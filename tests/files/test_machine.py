"""What a process may use of a machine, by whatever sets the limit: files of cgroups as Docker,
Kubernetes, systemd and SLURM leave them, and a real process that is bound to one core.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import apc_bench
from apc_bench.files.machine import Usable, usable_cores, usable_machine, usable_memory

GIB = 1 << 30


@pytest.fixture
def big(monkeypatch):
    """A machine of 64 cores, none of them bound, and 256 GiB."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    sizes = {"SC_PHYS_PAGES": 256 * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)


def system(root: Path, own: str, files: dict[str, str]) -> Path:
    """A root with /proc/self/cgroup and files under /sys/fs/cgroup."""
    for name, text in {"proc/self/cgroup": own, **files}.items():
        path = root / (name if name.startswith("proc") else f"sys/fs/cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V1 = "5:cpuset:/\n4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab"
SLURM_V2 = "0::/system.slice/slurmstepd.scope/job_7/step_0"


@pytest.mark.parametrize(
    ("own", "files", "cores", "gib"),
    [
        ("0::/", {"cpu.max": "200000 100000", "memory.max": f"{4 * GIB}"}, 2, 4),
        ("0::/", {"cpu.max": "50000 100000"}, 1, 256),
        ("0::/", {"cpu.max": "max 100000", "memory.max": "max"}, 64, 256),
        (SLURM_V2, {"system.slice/slurmstepd.scope/job_7/cpu.max": "300000 100000"}, 3, 256),
        (
            SLURM_V2,
            {
                "system.slice/slurmstepd.scope/job_7/step_0/memory.max": f"{30 * GIB}",
                "system.slice/slurmstepd.scope/job_7/memory.max": f"{20 * GIB}",
                "system.slice/memory.high": f"{25 * GIB}",
            },
            64,
            20,
        ),
        (
            V1,
            {
                "cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "450000",
                "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000",
                "memory/docker/ab/memory.limit_in_bytes": f"{8 * GIB}",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            4,
            8,
        ),
        # In the container: the host's path, of which only the end is mounted, as the root.
        (
            V1,
            {
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": f"{8 * GIB}",
            },
            2,
            8,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64, 256),
        ("", {"cpu.max": "200000 100000"}, 2, 256),
        ("0::/", {}, 64, 256),
    ],
    ids=[
        "v2",
        "half a core",
        "v2 without limits",
        "quota of a folder above",
        "the least of all folders",
        "v1",
        "v1 in a container",
        "v1 without limits",
        "no /proc",
        "no cgroups",
    ],
)
def test_cgroups_of_both_versions_are_heeded(big, tmp_path, own, files, cores, gib):
    root = system(tmp_path, own, files)
    found, memory = usable_cores(root, {}), usable_memory(root)
    assert (found.amount, found.whole) == (cores, 64)
    assert found.limit == ("" if cores == 64 else "cgroup quota")
    assert (memory.amount, memory.whole) == (gib * GIB, 256 * GIB)
    assert memory.limit == ("" if gib == 256 else "cgroup limit")


def test_the_least_limit_holds_and_is_named(big, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    root = system(tmp_path, "0::/", {"cpu.max": "1200000 100000"})
    assert usable_cores(root, {}) == Usable(8, 64, "CPU affinity")
    slurm = {"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "16"}
    assert usable_cores(root, slurm) == Usable(4, 64, "SLURM's allocation")
    assert usable_cores(root, {"SLURM_CPUS_ON_NODE": "6"}).amount == 6
    assert usable_cores(root, {"SLURM_CPUS_PER_TASK": ""}).amount == 8


def test_limits_are_told_in_words(big, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    told = usable_machine()
    assert told["cores"] == "2 of 64 cores: CPU affinity"
    assert told["memory"].endswith("256 GiB") or "256 GiB: cgroup limit" in told["memory"]


BOUND = """
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.ray import slots
from apc_bench.store.provenance import recorded_environment
print(slots(Resources(1, {})), slots(Resources(4, {})), slots(Resources(1, {}, workers=3)))
print(recorded_environment()["usable"]["cores"])
"""


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a single core cannot be divided")
def test_a_process_bound_to_one_core_does_one_step_at_a_time_and_says_so():
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, sys.executable, "-c", BOUND]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    slots, words = done.stdout.splitlines()
    assert slots == "1 1 3"
    assert words == f"1 of {os.cpu_count()} cores: CPU affinity"


def test_memory_limits_the_steps_at_a_time(monkeypatch):
    from apc_bench.runner.executors import ray_place
    from apc_bench.runner.executors.protocol import Resources

    monkeypatch.setattr(ray_place, "usable_cores", lambda: Usable(64, 64))
    monkeypatch.setattr(
        ray_place, "usable_memory", lambda: Usable(4 * GIB, 256 * GIB, "cgroup limit")
    )
    assert ray_place.slots(Resources(1, {})) == 4
    assert ray_place.slots(Resources(32, {})) == 2


def test_nobody_else_counts_the_cores_of_the_machine():
    package = Path(apc_bench.__file__).parent
    counting = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "cpu_count" in path.read_text()
    }
    assert counting == {"files/machine.py", "store/provenance.py"}
