"""The house: data flows one way, one file imports ray, and asking for help costs nothing."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import apc_bench

PACKAGE = Path(apc_bench.__file__).parent

# From the ground up: a room uses only rooms above it in this list, and its own.
ROOMS = (
    "errors",
    "wording",
    "plugins",
    "download",
    "metrics",
    "settings",
    "datasets",
    "plan",
    "store",
    "networks",
    "bank",
    "detectors",
    "runner",
    "statistics",
    "results",
    "tables",
    "report",
    "external",
    "compare",
    "gate",
    "history",
    "cli",
    "__main__",
)
NEVER = {
    "results": {"torch", "torchvision", "ray"},
    "statistics": {"torch", "torchvision", "ray"},
    "tables": {"torch", "torchvision", "ray"},
    "report": {"torch", "torchvision", "ray"},
    "plan": {"torch", "numpy", "ray"},
    "settings": {"torch", "numpy", "ray"},
    "metrics": {"torch", "ray"},
    "runner/driver": {"torch", "torchvision"},
    "runner/prepare": {"torch", "torchvision"},
}
COMPUTING = ("networks", "bank", "detectors", "runner")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "apc_bench"
                else {node.module}
            )
    return found


def test_every_room_is_in_the_plan_of_the_house():
    assert {room_of(path) for path in modules()} == set(ROOMS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_uses_only_rooms_above_it(path):
    height = ROOMS.index(room_of(path))
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "apc_bench" and parts[1:] and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= height, f"{path.name} imports {name}"
        for place in (room_of(path), path.relative_to(PACKAGE).with_suffix("").as_posix()):
            assert parts[0] not in NEVER.get(place, set()), f"{path.name} imports {name}"


def test_only_one_file_imports_ray():
    assert [
        path.relative_to(PACKAGE).as_posix() for path in modules() if "ray" in imports_of(path)
    ] == ["runner/executors/ray.py"]


@functools.cache
def modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
        ).stdout.split()
    )


def loaded_by(code: str) -> set[str]:
    return {name.split(".")[0] for name in modules_after(code)}


def test_help_loads_nothing_heavy():
    heavy = {
        "torch",
        "torchvision",
        "ray",
        "polars",
        "pyarrow",
        "matplotlib",
        "scipy",
        "numpy",
        "pydantic",
        "faiss",
    }
    code = (
        "from click.testing import CliRunner\nfrom apc_bench.cli import cli\nassert"
        " CliRunner().invoke(cli, ['sweep', '--help']).exit_code == 0"
    )
    assert not loaded_by(code) & heavy


@pytest.mark.parametrize("module", ["plan", "runner.driver", "runner.prepare", "report"])
def test_driver_and_report_load_no_torch(module):
    assert not loaded_by(f"import apc_bench.{module}") & {"torch", "ray"}


def test_a_report_needs_nothing_of_what_computes():
    """Not even through another room: a run is read where neither torch nor a GPU is."""
    used = modules_after("import apc_bench.report")
    assert not {
        name for name in used if name.split(".")[:2] in [["apc_bench", room] for room in COMPUTING]
    }


def test_files_and_functions_keep_one_purpose():
    """About 400 lines a file and 50 a function; beyond that there is a second purpose inside."""
    for path in modules():
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and room_of(path) != "cli":
                assert (node.end_lineno or 0) - node.lineno <= 55, f"{path.name}: {node.name}"
