"""SECURITY.md, as far as source text can show it; what behaviour shows is tested where it lives."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from apc_bench.settings import job

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "apc_bench").rglob("*.py")) + sorted((ROOT / "scripts").glob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """(`a.b.c`, the call) of each call in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(given.value) for given in call.keywords if given.arg == name), None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_can_run_code(path):
    for name, call in calls(path):
        assert name not in (
            "eval",
            "exec",
            "compile",
            "__import__",
            "os.system",
            "os.popen",
            "tarfile.extractall",
            "shutil.unpack_archive",
        )
        assert not re.search(r"(pickle|marshal|shelve|dill|cloudpickle)\.loads?$", name)
        assert not name.endswith((".extractall", ".read_pickle"))
        assert keyword(call, "shell") in (None, "False")
        if name == "torch.load":
            assert keyword(call, "weights_only") == "True"
        if name == "np.load":
            assert keyword(call, "allow_pickle") in (None, "False")
        if name.startswith("yaml.") and name.endswith("load"):
            assert name == "yaml.safe_load" or ast.unparse(call.args[1]) == "_EachOnce"
        if name.endswith("Environment") and "Environment" in name.split(".")[-1]:
            assert keyword(call, "autoescape") == (
                "False" if path.name == "latex.py" else "True"
            ), "LaTeX has an escape of its own"


def test_the_loader_of_job_files_is_a_safe_one():
    assert issubclass(job._EachOnce, yaml.SafeLoader)


def test_templates_leave_nothing_unescaped_but_our_own_style_script_and_json():
    pages = set()
    for template in (ROOT / "reports" / "templates").glob("*.html.j2"):
        text = template.read_text()
        assert not re.search(r"\|\s*safe|autoescape\s+false", text)
        if "<html" in text:  # else a part of one, or of what a notebook shows
            pages.add(template.name)
            assert "default-src 'none'" in text
    assert pages == {"page.html.j2", "history.html.j2"}
    marked = [
        (path.name, ast.unparse(call))
        for path in SOURCES
        for name, call in calls(path)
        if name == "Markup"
    ]
    assert {name for name, _ in marked} <= {"page.py"}, marked


def test_every_file_that_security_md_names_is_there():
    named = re.findall(
        r"`((?:apc_bench|tests|jobs|reports|cluster)(?:/[\w/.]*|\.yaml))`",
        (ROOT / "SECURITY.md").read_text(),
    )
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
