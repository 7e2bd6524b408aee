"""A cluster of three nodes on this machine, with logical GPUs: the bits of one process, also when a
node goes.
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import account, done, finish, log_of, scores_of, start, sweep, wait_until

from apc_bench.store import attempts

pytestmark = pytest.mark.ray
ON_GPUS = ("--device", "cpu", "--gpus-per-finetuning", "1", "--gpus-per-trial", "0.5")


class Nodes:
    """The cluster of three_nodes.py, in a process of its own: Ray reads its token once per
    process.
    """

    def __init__(self) -> None:
        script = [sys.executable, str(Path(__file__).parent / "three_nodes.py")]
        self.process = subprocess.Popen(
            script,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.process.stdout.readline().strip()

    def lose_one(self) -> None:
        self.process.stdin.write("lose\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "removed\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """Processes started here find the cluster's token in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        nodes = Nodes()
        assert nodes.address, "no cluster"
        yield nodes
        nodes.process.communicate(timeout=60)


def test_three_nodes_give_the_bits_of_serial_and_each_has_its_share(cluster, place, serial):
    ended = finish(sweep(place, "cluster", "--address", cluster.address, *ON_GPUS))
    assert scores_of(place / "cluster").equals(scores_of(serial))
    assert "28 steps done" in ended.stderr
    nodes = {
        attempt.node for attempt in log_of(place / "cluster") if attempt.event == attempts.DONE
    }
    assert len(nodes) == 3, f"steps ran on {len(nodes)} of 3 nodes"


def test_what_no_node_can_meet_is_refused_at_once(cluster, place):
    began = time.monotonic()
    refused = finish(
        sweep(place, "greedy", "--address", cluster.address, "--threads", "64"), code=2
    )
    assert "asks for 64 cores" in refused.stderr
    assert time.monotonic() - began < 100
    assert not (place / "greedy" / "scores").exists()


def test_a_cluster_that_does_not_answer_is_told_in_one_line(place):
    refused = finish(sweep(place, "nowhere", "--address", "127.0.0.1:1"), code=2)
    assert "no Ray cluster answers at 127.0.0.1:1" in refused.stderr
    assert "Traceback" not in refused.stderr


def nodes_of(address: str) -> int:
    """How many nodes a cluster has, asked by a process of its own."""
    asked = (
        "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR');"
        " print(sum(node['Alive'] for node in ray.nodes()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked, address],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(told.stdout.split()[-1])


def test_a_node_that_cannot_reach_the_run_folder_is_named_at_the_start(cluster, place):
    hidden = (
        f"mount -t tmpfs tmpfs {place} && exec {sys.executable} -m ray.scripts.scripts start"
        f" --address={cluster.address} --num-cpus=1 --block"
    )
    if (
        subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode
        != 0
    ):
        pytest.skip("needs a mount namespace, which this user may not make")
    before = nodes_of(cluster.address)
    node = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", hidden],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: nodes_of(cluster.address) > before, 60)
        told = finish(
            sweep(place, "hidden", "--address", cluster.address, "--device", "cpu"), code=2
        ).stderr.splitlines()
        assert told[-1].startswith("error: node ")
        assert f"cannot reach the run folder {place / 'hidden'}" in told[-1]
    finally:
        node.terminate()
        node.wait(timeout=60)


def test_a_step_out_of_gpu_memory_has_one_more_try_with_the_gpu_to_itself(cluster):
    script = Path(__file__).parent / "memory_errors.py"
    ended = subprocess.run(
        [sys.executable, str(script), cluster.address],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    expected = [
        "huge False out of memory on 1 GPU",
        "large True had 1 GPU",
        "small True had 0.5 GPU",
    ]
    told = [
        line for line in ended.stdout.splitlines() if "(raylet)" not in line
    ]  # Ray may tell of workers of an earlier test
    assert sorted(told) == expected, ended.stdout + ended.stderr


def test_a_node_that_goes_half_way_costs_its_steps_alone(cluster, place, serial):
    driver = start(sweep(place, "shrunk", "--address", cluster.address, *ON_GPUS))
    assert wait_until(lambda: done(place / "shrunk") >= 8, 200)
    fault = time.time()
    cluster.lose_one()
    output, _ = driver.communicate(timeout=280)
    assert driver.returncode == 0, output
    assert scores_of(place / "shrunk").equals(scores_of(serial))
    print(account(place / "shrunk", [fault]))
