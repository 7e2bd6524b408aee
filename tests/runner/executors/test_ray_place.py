"""Where a Ray of our own can live: what is found out before it starts. Nothing here starts Ray."""

import socket
from pathlib import Path

import pytest

from apc_bench.errors import ResourceError, UsageError
from apc_bench.runner.executors import ray, ray_place
from apc_bench.runner.executors.protocol import Execution
from apc_bench.runner.executors.ray_place import find_place, reachable


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def short(monkeypatch, tmp_path_factory) -> Path:
    """A folder whose path is short, as the tests' own are not."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rt-", dir="/tmp") as name:
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def test_the_usual_folder_is_taken_where_it_will_do(short, said):
    place = find_place(None, said.append)
    assert place.folder == short / "ray"
    assert said == []
    assert list(place.folder.iterdir()) == [], "the trial leaves nothing"


def long(short: Path) -> Path:
    """Of 100 bytes: as a batch system makes them."""
    return short / ("x" * (99 - len(str(short))))


def test_a_long_folder_is_measured_against_the_socket_that_ray_makes():
    """107 bytes are what the kernel allows; Ray's own name of a session takes 64."""
    fitting = Path("/tmp") / ("y" * 38)
    assert len(str(fitting)) == 43
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long"):
        one.bind(f"{fitting}z/{ray_place.SESSION}/{ray_place.SOCKET}")
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(FileNotFoundError):
        one.bind(f"{fitting}/{ray_place.SESSION}/{ray_place.SOCKET}")
    with pytest.raises(ResourceError, match="44 bytes long, and 43 are the most"):
        find_place(Path(f"{fitting}z"), print)


@pytest.mark.parametrize("fault", ["long", "a file", "under a file", "no place"])
def test_another_folder_is_taken_and_said(short, said, monkeypatch, fault):
    named = {
        "long": long(short),
        "a file": short / "file",
        "under a file": short / "file" / "below",
        "no place": Path("/proc/1"),
    }[fault]
    (short / "file").touch()
    monkeypatch.setenv("TMPDIR", str(named))
    place = find_place(None, said.append)
    assert place.folder != named / "ray"
    assert len(said) == 1
    assert said[0].startswith(f"Ray's temporary files go to {place.folder}: {named}/ray ")


@pytest.mark.parametrize("fault", ["long", "a file", "no place"])
def test_a_folder_that_was_asked_for_is_refused_with_the_way_out(short, said, fault):
    (short / "file").touch()
    asked = {"long": long(short), "a file": short / "file", "no place": Path("/proc/1")}[fault]
    with pytest.raises(ResourceError, match=f"--ray-temp {asked}: .*; name another, or pass --exe"):
        find_place(asked, said.append)
    assert said == []


def test_a_full_disk_is_no_place(small_disk, monkeypatch, said):
    with pytest.raises(ResourceError, match=r"--ray-temp .*(MB left of the 20 MB|bytes long)"):
        find_place(small_disk, said.append)


def test_objects_go_to_the_folder_where_shared_memory_is_small(short, said, monkeypatch):
    monkeypatch.setattr(ray_place, "SHARED_MEMORY", short / "no-such-shm")
    place = find_place(None, said.append)
    assert place.objects == place.folder
    monkeypatch.setattr(ray_place, "SHARED_MEMORY", short)
    assert find_place(None, said.append).objects is None


def test_nowhere_at_all_is_one_line(short, said, monkeypatch):
    monkeypatch.setattr(ray_place, "LOGS", 10**18)
    with pytest.raises(ResourceError, match=r"no place for its temporary files.*--ray-temp DIR"):
        find_place(None, said.append)


def test_an_address_of_this_machine_that_answers_is_found():
    assert reachable(("127.0.0.1",)) == "127.0.0.1"
    assert reachable(("192.0.2.77", "127.0.0.1")) == "127.0.0.1"
    with pytest.raises(ResourceError, match=r"cannot reach each other at 192\.0\.2\.77"):
        reachable(("192.0.2.77", "192.0.2.77"))


def test_a_folder_for_somebody_elses_cluster_is_refused():
    with pytest.raises(UsageError, match="leave one of them out"):
        ray.check(Execution(ray_temp=Path("/tmp"), address="10.0.0.1:6379"))
