"""What decides bits is recorded; where a step ran is not part of it."""

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from apc_bench import RESULT_VERSION
from apc_bench.store import provenance
from apc_bench.store.provenance import (
    computing_environment,
    device_class,
    gpu_names,
    is_faster_in_bfloat16,
    recorded_environment,
)


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    gpu_names.cache_clear()
    yield
    gpu_names.cache_clear()


def answer(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setattr(provenance.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(
        provenance.subprocess,
        "run",
        lambda *given, **options: subprocess.CompletedProcess(given, 0, stdout=names),
    )


def test_what_decides_bits_is_named_and_holds_nothing_of_the_machine_s_name(monkeypatch):
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    environment = computing_environment(device="cpu", threads=2, precision="float32")
    assert set(environment) == {
        "result_version",
        "device",
        "threads",
        "precision",
        "torch",
        "torchvision",
        "numpy",
        "scipy",
        "pillow",
    }
    assert environment["result_version"] == str(RESULT_VERSION)
    assert "absent" not in environment.values()
    assert not [
        value
        for value in environment.values()
        if socket.gethostname() in value or getpass.getuser() in value
    ]


def test_limits_on_the_instructions_of_a_processor_make_another_class(monkeypatch):
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    plain = device_class("cpu")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert device_class("cpu") == f"{plain}/ATEN_CPU_CAPABILITY=default"


@pytest.mark.parametrize(
    ("device", "flags", "limit", "faster"),
    [
        ("cpu", "avx2 avx512f avx512_bf16", None, True),
        ("cpu", "avx2 avx512f", None, False),
        ("cpu", "avx2 avx512f avx512_bf16", "ATEN_CPU_CAPABILITY", False),
        ("cpu", "avx2 avx512f avx512_bf16", "ONEDNN_MAX_CPU_ISA", False),
        ("cuda", "avx2", None, True),
    ],
)
def test_bfloat16_is_for_what_has_instructions_for_it(monkeypatch, device, flags, limit, faster):
    for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    if limit:
        monkeypatch.setenv(limit, "default")
    monkeypatch.setattr(provenance, "_cpu_line", lambda *names: flags)
    assert is_faster_in_bfloat16(device) is faster


def test_gpus_are_named_once_whatever_their_number(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answer(monkeypatch, "NVIDIA H200\nNVIDIA H200\n")
    assert gpu_names() == ("NVIDIA H200", "NVIDIA H200")
    assert device_class("cuda") == "cuda/NVIDIA H200"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_are_hidden_from_this_process_are_not_there(monkeypatch, hidden):
    answer(monkeypatch, "NVIDIA H200\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpu_names() == ()


def test_a_driver_that_does_not_answer_is_no_gpu_and_no_traceback(monkeypatch):
    def hangs(*given: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 60)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answer(monkeypatch, "")
    monkeypatch.setattr(provenance.subprocess, "run", hangs)
    assert gpu_names() == ()


def test_the_machine_and_the_code_are_recorded():
    recorded = recorded_environment()
    assert recorded["hostname"] == socket.gethostname()
    assert recorded["cores"] == os.cpu_count()
    assert recorded["git"] is None or set(recorded["git"]) == {"commit", "dirty"}
