"""The files that start a sweep on other machines, by the code that reads them: Ray's launcher,
SLURM's commands (stood in for), KubeRay's schema.
"""

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from processes import done, scores_of, sweep, wait_until

ROOT = Path(__file__).resolve().parents[2]

SRUN = """#!/usr/bin/env bash
# Runs the command here instead of on another node.
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
case $1 in
  show) printf '127.0.0.1\\n127.0.0.1\\n' ;;
  requeue) echo "$2" >"$REQUEUED" ;;
esac
"""


def test_rays_own_launcher_takes_cluster_yaml_and_refuses_a_slip():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(prepare_config({**config, "max_wrokers": 3}))


def test_the_cloud_variant_of_cluster_yaml_is_valid_too():
    from ray.autoscaler._private.util import prepare_config, validate_config

    lines = (ROOT / "cluster.yaml").read_text().split("# Cloud variant:")[1].splitlines()
    variant = yaml.safe_load(
        "\n".join(line.removeprefix("# ") for line in lines[3:] if line.startswith("#"))
    )
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text()) | variant
    validate_config(prepare_config(config))


def test_the_kuberay_job_names_volumes_that_there_are_and_the_ray_that_is_locked():
    job = yaml.safe_load((ROOT / "jobs" / "rayjob.yaml").read_text())
    groups = [
        job["spec"]["rayClusterSpec"]["headGroupSpec"],
        *job["spec"]["rayClusterSpec"]["workerGroupSpecs"],
    ]
    for group in groups:
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert all(
            {mount["name"] for mount in container["volumeMounts"]} <= volumes
            for container in pod["containers"]
        )
    assert (
        f"ray=={job['spec']['rayClusterSpec']['rayVersion']}"
        in (ROOT / "requirements.lock").read_text()
    )
    assert "--run /" in job["spec"]["entrypoint"], "a relative run folder would vanish with the job"


def alive(group: int) -> bool:
    """Whether a process group has a process left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def allocation(tmp_path) -> dict[str, str]:
    """The environment of a SLURM job on two nodes, both of them this machine."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    job = {
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_ID": "42",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_GPUS_ON_NODE": "0",
    }
    paths = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "APC_BENCH_BIN": str(Path(sys.executable).parent),
        "REQUEUED": str(tmp_path / "requeued"),
    }
    return {**os.environ, **job, **paths, "APC_BENCH_PORT": "6399", "RAY_AUTH_TOKEN": "5" * 64}


@pytest.mark.ray
def test_slurm_runs_the_sweep_on_its_nodes_and_a_preemption_is_a_resume(
    tmp_path, allocation, serial
):
    arguments = sweep(tmp_path, "slurm", "--device", "cpu")[4:]
    script = ["bash", str(ROOT / "jobs" / "slurm.sh"), *arguments]

    def submit() -> "subprocess.Popen[str]":
        with (tmp_path / "slurm.out").open("a") as out:
            return subprocess.Popen(
                script,
                env=allocation,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def end_of_allocation(job: "subprocess.Popen[str]") -> None:
        """Ends Ray as SLURM ends what is left of a job; a node drains for up to 30 s."""
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)
        assert wait_until(lambda: not alive(job.pid), 90), "Ray did not end with its allocation"

    first = submit()
    try:
        assert wait_until(lambda: done(tmp_path / "slurm") >= 5, 200), (
            tmp_path / "slurm.out"
        ).read_text()
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=100) == 0
        assert (tmp_path / "requeued").read_text().strip() == "42"
    finally:
        end_of_allocation(first)
    assert 5 <= done(tmp_path / "slurm") < 28
    second = submit()
    try:
        assert second.wait(timeout=250) == 0, (tmp_path / "slurm.out").read_text()
    finally:
        end_of_allocation(second)
    assert scores_of(tmp_path / "slurm").equals(scores_of(serial))
