"""Help as a newcomer reads it: grouped, whole, with every default, and there where one asks."""

import re
import shlex

import click
import pytest
from support import apc_bench

from apc_bench.cli import cli
from apc_bench.cli.sweep_options import EXAMPLES, JOBS
from apc_bench.settings.job import shipped_jobs


def commands(group: click.Group = cli, path: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("group", [(), ("data",)])
def test_without_a_command_the_help_is_printed_and_nothing_is_wrong(group):
    told = apc_bench(*group, code=0).output
    assert told.startswith("Usage: ")
    assert told == apc_bench(*group, "--help").output


def test_descriptions_of_commands_are_whole_sentences_in_the_order_of_their_use(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = words(apc_bench("--help").output.partition("\nCommands:\n")[2])
    assert "..." not in told
    places = []
    for name in cli.commands:
        first = words(cli.commands[name].help or "").partition(". ")[0].rstrip(".")
        assert f"{name} {first}" in told
        places.append(told.index(f"{name} {first}"))
    assert places == sorted(places)
    assert next(iter(cli.commands)) == "sweep"


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_every_option_that_takes_a_value_tells_its_default(path):
    command = dict(commands())[path]
    context = click.Context(command)
    silent = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag and not option.required:
            record = option.get_help_record(context)
            if record and "[default:" not in record[1]:
                silent.append(option.opts[0])
    assert silent == []


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
def test_every_option_says_what_it_is_and_no_name_is_broken_at_its_hyphen(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = apc_bench(*path, "--help").output
    assert [line for line in told.splitlines() if re.search(r"\w-$", line)] == []
    assert told.isascii() or "\u2011" not in told, "what is copied must be typed hyphens"
    for option in dict(commands())[path].params:
        if isinstance(option, click.Option):
            assert option.help, option.opts


def test_the_options_of_a_sweep_are_grouped_with_examples_that_can_be_typed():
    told = apc_bench("sweep", "--help").output
    groups = ("What is compared:", "How much, and of what:", "Where and how it runs:")
    places = [told.index(f"\n{title}\n") for title in ("Examples:", *groups, "What comes out:")]
    assert places == sorted(places)
    assert told.index("\n  --shots") > told.index(groups[1]) > told.index("\n  --data")
    assert "good/ and bad/" in words(told)
    assert len(EXAMPLES) == 3
    for example in EXAMPLES:
        assert f"\n  {example}\n" in told
        program, name, *options = shlex.split(example, comments=True)
        assert program == "apc-bench"
        cli.commands[name].make_context(name, options)


def test_the_help_names_every_shipped_job():
    assert sorted(JOBS) == sorted(shipped_jobs())


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ("--shots", "1", "5", "10"),
            "--shots takes a list with commas and no spaces: --shots 1,5,10",
        ),
        (("--seeds", "0,", "1", "--dry-run"), "Invalid value for '--seeds'"),
        (("--categories", "weave", "washer"), "no spaces: --categories weave,washer"),
        (("--data", "x", "y"), "unexpected extra argument (y)"),
        (
            ("--epochs", "5"),
            "there is no --epochs: it is a setting of a method, such as --set apc.st",
        ),
        (
            ("--lr=1"),
            "--set apc.extractor_learning_rate=3e-05 or --set apc.heads_learning_rate=0.001;",
        ),
        (("--steps", "600"), "--set apc.steps=150; `apc-bench methods` lists every setting"),
        (("--batch-size", "4"), "such as --set apc.batch=16;"),
        (("--top-pixels", "4"), "such as --set prnet.top_pixels=100;"),
        (("--coreset-ratio", "4"), "such as --set apc.coreset_ratio=0.1;"),
        (("--interpolation", "bilinear"), "'interpolation' stands at the top of a job file"),
        (("--sheds", "0"), "No such option '--sheds'"),
    ],
    ids=str,
)
def test_what_is_no_option_leads_to_what_was_meant(typed, told):
    typed = (typed,) if isinstance(typed, str) else typed
    output = apc_bench("sweep", *typed, code=2).output
    assert output.startswith("error: ") and output.count("\n") == 1
    assert told in output


def test_a_dataset_that_is_not_there_leads_to_the_one_beside_it(tmp_path, monkeypatch):
    (tmp_path / "tile" / "good").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for command in (("sweep", "--dry-run", "--data"), ("data", "check")):
        told = apc_bench(*command, "tiles", code=2).output
        assert "no such folder: tiles (a dataset is a folder with good/ and bad/" in told
        assert told.endswith("; did you mean 'tile'?\n")
    assert "did you mean" not in apc_bench("data", "check", "elsewhere", code=2).output
