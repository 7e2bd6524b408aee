"""The house: data flows one way, Ray stays with the executors, asking for help costs nothing, and
what the code cites is there.
"""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import apc_bench

PACKAGE = Path(apc_bench.__file__).parent

# From the ground up: a room uses only rooms above it in this list, and its own.
ROOMS = (
    "errors",
    "wording",
    "files",
    "plugins",
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
    "export",
    "external",
    "compare",
    "gate",
    "history",
    "doctor",
    "interface",
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
    "runner/scan": {"torch", "torchvision"},
}
COMPUTING = ("networks", "bank", "detectors", "runner")
RAY = {
    "runner/executors/ray.py",
    "runner/executors/ray_connection.py",
    "runner/executors/ray_jobs.py",
}

CITING = ("apc_bench/**/*.py", "tests/**/*.py", "scripts/*.py", "docs/*.md", "jobs/*", "*.*")
CITED = re.compile(
    r"(?<![\w/-])docs/(?P<name>[\w-]+)\.md"
    r"(?:,? sections? (?P<numbers>\d+(?:(?:,| and) \d+)*))?"
    r"(?:, \"(?P<title>[^\"]+)\")?"
)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """The modules that a module imports: at its top, within a function, or by name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module="apc_bench", names=aliases):
                names |= {f"apc_bench.{alias.name}" for alias in aliases}
            case ast.ImportFrom(module=str(name)):
                names.add(name)
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                names.add(name)
    return names


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


def test_nothing_but_the_executors_imports_ray():
    users = set()
    for path in modules():
        if any(name.split(".")[0] == "ray" for name in imports_of(path)):
            users.add(path.relative_to(PACKAGE).as_posix())
    assert users == RAY


@pytest.mark.parametrize(
    "line",
    [
        "import ray",
        "import ray.util as util",
        "from ray.job_submission import JobSubmissionClient",
        "def late():\n    import ray",
        "import importlib\nray = importlib.import_module('ray')",
        "ray = __import__('ray')",
    ],
)
def test_no_way_to_import_ray_is_overlooked(tmp_path, line):
    (tmp_path / "sneaky.py").write_text(line)
    assert "ray" in {name.split(".")[0] for name in imports_of(tmp_path / "sneaky.py")}


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
    """400 lines a file and 50 a function; beyond that there is a second purpose inside."""
    for path in [*modules(), *PACKAGE.parent.glob("scripts/*.py")]:
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 50, f"{path.name}: {node.name} has {length} lines"


def citations() -> Iterator[tuple[Path, re.Match[str]]]:
    """Every mention of a document in docs/, with the section or heading that it names."""
    root = PACKAGE.parent
    for path in sorted({path for pattern in CITING for path in root.glob(pattern)}):
        if path.suffix in (".py", ".md", ".yaml", ".toml") and path != Path(__file__):
            in_one_line = re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text())
            yield from ((path, match) for match in CITED.finditer(in_one_line))


def missing(name: str, numbers: str | None, title: str | None) -> str | None:
    """What a citation names and the document has not: its file, a section `## N. …`, or a title
    that is a heading or, within the section, begins a paragraph in bold.
    """
    document = PACKAGE.parent / "docs" / f"{name}.md"
    if not document.is_file():
        return f"docs/{name}.md"
    text = document.read_text()
    for number in re.findall(r"\d+", numbers or ""):
        section = re.search(rf"^## {number}\. .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if section is None:
            return f"docs/{name}.md section {number}"
        text = section[0] if title else text
    begins = rf"^(?:#+ |[-*] \*\*|\*\*){re.escape(title or '')}(?:\b|$)"
    if title and not re.search(begins, text, re.MULTILINE):
        return f'docs/{name}.md, "{title}"'
    return None


def test_what_is_cited_is_there():
    cited = list(citations())
    assert len(cited) > 50, "the pattern no longer finds them"
    lacking = [(path.name, missing(**match.groupdict())) for path, match in cited]
    assert not [(file, what) for file, what in lacking if what]


@pytest.mark.parametrize(
    "text",
    [
        "docs/nowhere.md",
        "docs/method.md section 99",
        "docs/method.md sections 2 and 99",
        'docs/method.md section 2, "Groups"',
        'docs/architecture.md, "Rooms with a view"',
    ],
)
def test_a_citation_of_nothing_is_found(text):
    match = CITED.search(f"as said ({text}).")
    assert match
    assert missing(**match.groupdict())
