"""The documents: a door that is small enough, pages that say what they are for, links that lead
somewhere, commands that exist, and made parts that are not stale.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from apc_bench.cli import cli
from apc_bench.settings.job import sweep_from

ROOT = Path(__file__).resolve().parents[1]
DOORS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = sorted(
    page
    for page in (ROOT / "docs").glob("*.md")
    if page.name != "index.md" and not page.read_text().startswith("```{include}")
)
DOCUMENTS = [*(ROOT / name for name in DOORS), *PAGES]


def test_the_readme_is_a_door():
    assert (ROOT / "README.md").read_text().count("\n") <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_first_what_its_reader_can_do_afterwards(page):
    title, empty, first = page.read_text().splitlines()[:3]
    assert title.startswith("# ") and not empty and first.startswith("After this page you ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_to_a_file(document):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    inside = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    missing = [link for link in inside if not (document.parent / link).exists()]
    assert not missing


def test_every_page_is_in_the_readmes_list():
    door = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in door] == []


def test_every_page_is_in_the_sites_list():
    listed = (ROOT / "docs" / "index.md").read_text()
    missing = [page.stem for page in PAGES if f"\n{page.stem}\n" not in listed]
    assert not missing


def commands_in(document: Path) -> list[str]:
    """The `apc-bench` commands in a document's blocks, without what a shell adds."""
    found = []
    blocks = re.findall(r"^```(.*?)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    for block in (block for language, block in blocks if not language):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.search(r"(?:^|\s)(?:\S*/)?apc-bench ([a-z].*)$", line)
            if command:
                found.append(command[1])
    return found


@pytest.mark.parametrize(
    "document", [page for page in DOCUMENTS if commands_in(page)], ids=lambda page: page.name
)
def test_every_command_of_a_document_exists_with_its_options(document):
    for line in commands_in(document):
        words = shlex.split(line, comments=True)
        command: click.Command = cli
        while words and isinstance(command, click.Group):
            assert words[0] in command.commands, f"{document.name}: {line}"
            command = command.commands[words.pop(0)]
        taken = [command, cli.commands["sweep"]] if command.name == "submit" else [command]
        known = {name for one in taken for parameter in one.params for name in parameter.opts}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help"}, f"{document.name}: {line}"


@pytest.mark.parametrize(
    "document",
    [page for page in DOCUMENTS if "\nmethods:\n" in page.read_text()],
    ids=lambda p: p.name,
)
def test_every_job_file_of_a_document_is_one(document):
    blocks = re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
    jobs = [yaml.safe_load(block) for block in blocks if "methods:" in block]
    assert jobs
    for job in jobs:
        sweep_from(job, {})


def test_the_made_parts_are_what_the_code_says():
    """`make reference` writes them."""
    check = [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"]
    told = subprocess.run(check, capture_output=True, text=True, cwd=ROOT, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
