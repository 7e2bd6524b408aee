"""The ways to run it every night: each as it stands in jobs/nightly and in docs/nightly.md, run at tiny
scale or read by what reads it.
"""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from recorded import Row, record
from support import apc_bench

ROOT = Path(__file__).resolve().parents[2]
NIGHTLY = ROOT / "jobs" / "nightly"
TINY = (
    "--no-page",
    "--job",
    "tiny",
    "--executor",
    "serial",
    "--methods",
    "patchcore",
    "--categories",
    "weave",
    "--seeds",
    "0,1,2",
)


def block_of(readme: str, near: str) -> str:
    """The first code block after a link to a file."""
    return re.split(r"```[a-z]*\n", readme[readme.index(near) :], maxsplit=1)[1].split("```")[0]


def night(
    folder: Path, name: str, *options: str, command: str | None = None, **environment: str
) -> tuple[int, str]:
    """One night of nightly.sh, or of a line that calls it."""
    line = command or f"{shlex.quote(str(NIGHTLY / 'nightly.sh'))} {shlex.quote(str(folder))}"
    variables = {
        **os.environ,
        "APC_BENCH_NIGHT": name,
        "APC_BENCH": str(Path(sys.executable).parent / "apc-bench"),
        **environment,
    }
    ended = subprocess.run(
        ["bash", "-c", f"{line} {shlex.join((*TINY, *options))}"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def command_of(crontab: str) -> str:
    """What the one line of a crontab runs, after its five fields of time."""
    lines = [line for line in crontab.splitlines() if line[:1].isdigit()]
    assert len(lines) == 1 and re.match(r"([\d*/,-]+ ){5}", lines[0])
    return lines[0].split(" ", 5)[5]


@pytest.fixture
def stubs(tmp_path: Path) -> str:
    """`git pull`, `make` and `wget` that only write down what they are asked; other git commands
    are git's.
    """
    tools = tmp_path / "tools"
    tools.mkdir()
    git = subprocess.run(
        ["which", "git"], capture_output=True, text=True, check=True
    ).stdout.strip()
    asked = f'printf "%s\\n" "$(basename "$0") $*" >>{tmp_path / "asked"}'
    for name, text in (
        ("git", f'[ "$1" = pull ] || exec {git} "$@"; {asked}'),
        ("make", asked),
        ("wget", asked),
    ):
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(stat.S_IRWXU)
    return f"{tools}:{os.environ['PATH']}"


@pytest.fixture
def swept(tmp_path: Path, small_run: Path) -> dict[str, str]:
    """An apc-bench whose sweep gives a run that was swept before; its other commands are the real
    ones.
    """
    stub = tmp_path / "tools" / "apc-bench"
    take = f'while [ "$1" != --run ]; do shift; done; cp -r {small_run} "$2"'
    stub.write_text(
        f'#!/usr/bin/env bash\nif [ "$1" = sweep ]; then {take}; else exec'
        f' {Path(sys.executable).parent / "apc-bench"} "$@"; fi\n'
    )
    stub.chmod(stat.S_IRWXU)
    return {"APC_BENCH": str(stub)}


def better(row: Row) -> None:
    for metric in ("image_auroc", "image_f1_max", "pixel_auroc", "pixel_f1_max"):
        row[metric] = (row[metric] or 0.0) + 0.9


def test_nights_pass_regress_and_are_accepted(tmp_path):
    """The first is the reference, the second repeats it, the third is judged against a better one,
    fails and is accepted by a link.
    """
    folder = tmp_path / "night ly"
    code, told = night(folder, "2026-01-01")
    assert code == 3 and "no recorded run to judge against yet" in told, told
    assert (folder / "passed" / "2026-01-01").readlink() == Path("../nights/2026-01-01")
    assert [path.name for path in (folder / "cache").iterdir()] == ["weights"], (
        "another night's features would hide what this night's code does"
    )
    code, told = night(folder, "2026-01-02")
    assert code == 0 and "to the last bit" in told, told
    assert (folder / "passed" / "2026-01-02" / "run.json").is_file()
    assert (folder / "nights" / "history.html").read_text().count("2026-01-02") > 0
    record(
        folder / "nights" / "2026-01-02",
        folder / "nights" / "better",
        better,
        created="2026-01-03T00:00:00+00:00",
    )
    for path in (folder / "passed").iterdir():
        path.unlink()
    (folder / "passed" / "better").symlink_to("../nights/better")
    code, told = night(folder, "2026-01-04")
    assert code == 1 and "apc-bench gate: REGRESSION" in told, told
    assert not (folder / "passed" / "2026-01-04").exists(), (
        "a bad night must not become the reference"
    )
    assert int(ElementTree.parse(folder / "gate.xml").getroot().get("failures")) > 0
    (folder / "passed" / "2026-01-04").symlink_to("../nights/2026-01-04")
    after = record(
        folder / "nights" / "2026-01-04",
        folder / "nights" / "2026-01-05",
        created="2099-01-05T00:00:00+00:00",
    )
    assert "no regression" in apc_bench("gate", after, "--against", folder / "passed").output


def test_a_night_that_does_not_start_has_the_sweeps_exit_code_and_a_half_night_does_not_pass(
    tmp_path,
):
    code, told = night(tmp_path, "one", "--image-size", "7")
    assert code == 2 and "image_size" in told
    assert not list((tmp_path / "passed").iterdir())
    assert (
        subprocess.run([NIGHTLY / "nightly.sh"], capture_output=True, check=False).returncode != 0
    )


@pytest.mark.parametrize("name", ["crontab", "scrontab"])
def test_the_line_of_the_table_runs_a_night(name, tmp_path, stubs, swept):
    text = (NIGHTLY / name).read_text()
    command = command_of(text)
    for place in ("/srv/apc-bench", "/shared/apc-bench"):
        command = command.replace(place, shlex.quote(str(ROOT)))
    for place in ("/srv/nightly", "/shared/nightly"):
        command = command.replace(place, shlex.quote(str(tmp_path / "nightly")))
    command = re.sub(r" --job paper --data \S+", "", command)
    code, told = night(tmp_path / "nightly", "one", command=command, PATH=stubs, **swept)
    assert code == 3 and "a first night becomes the reference" in told, told
    assert (tmp_path / "asked").read_text().splitlines() == [
        "git pull --quiet",
        "make --silent .venv/.ready",
    ]
    assert (
        block_of((ROOT / "docs" / "nightly.md").read_text(), f"](../jobs/nightly/{name})") == text
    )


def test_slurm_is_asked_for_what_it_knows():
    options = re.findall(r"^#SCRON (.*)$", (NIGHTLY / "scrontab").read_text(), re.MULTILINE)
    names = {word.split("=")[0] for line in options for word in shlex.split(line)}
    assert names <= {
        "--cpus-per-task",
        "--gpus-per-node",
        "--time",
        "--output",
        "--partition",
        "--account",
    }


def test_the_workflow_is_the_readmes_and_its_commands_run_a_night(tmp_path, stubs, swept):
    text = (NIGHTLY / "github.yaml").read_text()
    assert (
        block_of((ROOT / "docs" / "nightly.md").read_text(), "](../jobs/nightly/github.yaml)")
        == text
    )
    steps = yaml.safe_load(text)["jobs"]["nightly"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    subprocess.run(
        ["bash", "-c", f"{commands[0]} --dry-run"], cwd=ROOT, check=True, capture_output=True
    )
    at = str(tmp_path)
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    code, told = night(tmp_path, "one", command=f"cd {at} && {commands[1]}", PATH=stubs, **swept)
    assert code == 3, told
    summary = tmp_path / "summary.md"
    subprocess.run(
        ["bash", "-ec", commands[2]],
        cwd=at,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
        check=True,
    )
    assert "could not be judged" in summary.read_text()
    saved = {
        step["uses"].split("@")[0]: step["with"]
        for step in steps
        if "cache" in step.get("uses", "")
    }
    assert (
        saved["actions/cache/restore"]["path"] == saved["actions/cache/save"]["path"] == "nightly"
    )
    assert saved["actions/cache/save"]["key"].startswith(
        saved["actions/cache/restore"]["restore-keys"]
    )
    artifact = next(step["with"]["path"] for step in steps if "artifact" in step.get("uses", ""))
    assert all((tmp_path / path).is_file() for path in artifact.splitlines())
    assert all(
        step.get("if") == "always()"
        for step in steps[steps.index(next(s for s in steps if s.get("run") == commands[1])) + 1 :]
    )


def test_kuberays_schedule_creates_the_job_of_rayjob_yaml_that_runs_a_night(tmp_path, stubs):
    documents = {
        one["kind"]: one for one in yaml.safe_load_all((NIGHTLY / "kuberay.yaml").read_text())
    }
    job = yaml.safe_load(documents["ConfigMap"]["data"]["rayjob.yaml"])
    plain = yaml.safe_load((ROOT / "jobs" / "rayjob.yaml").read_text())
    entrypoint = job["spec"].pop("entrypoint")
    assert job["spec"].pop("backoffLimit") == 0, "a regression is not tried again"
    assert job["spec"] == {
        name: value
        for name, value in plain["spec"].items()
        if name not in ("entrypoint", "backoffLimit")
    }
    assert "generateName" in job["metadata"] and "name" not in job["metadata"], (
        "every night needs a name of its own"
    )
    assert (
        block_of(
            (ROOT / "docs" / "nightly.md").read_text(), "](../jobs/nightly/kuberay.yaml)"
        ).strip()
        == entrypoint
    )
    assert entrypoint.split()[0] == "/opt/apc-bench/jobs/nightly/nightly.sh"
    assert (
        "WORKDIR /opt/apc-bench" in (ROOT / "jobs" / "Dockerfile").read_text()
        and "wget" in (ROOT / "jobs" / "Dockerfile").read_text()
    )
    pod = documents["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (
        pod["serviceAccountName"]
        == documents["ServiceAccount"]["metadata"]["name"]
        == documents["RoleBinding"]["subjects"][0]["name"]
    )
    assert documents["RoleBinding"]["roleRef"]["name"] == documents["Role"]["metadata"]["name"]
    assert documents["Role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]}
    ]
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("secret")
    (account / "namespace").write_text("bench")
    script = pod["containers"][0]["args"][0].replace(
        "/var/run/secrets/kubernetes.io/serviceaccount", str(account)
    )
    subprocess.run(
        [*pod["containers"][0]["command"], script], env={**os.environ, "PATH": stubs}, check=True
    )
    asked = (tmp_path / "asked").read_text()
    assert asked.rstrip().endswith(
        "https://kubernetes.default.svc/apis/ray.io/v1/namespaces/bench/rayjobs"
    )
    assert "Authorization: Bearer secret" in asked
    posted = re.search(r"--post-file=(\S+)", asked)
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert (
        posted
        and Path(posted[1]).name in documents["ConfigMap"]["data"]
        and str(Path(posted[1]).parent) in mounts
    )


def test_the_nightly_job_is_shipped_and_has_seeds_enough():
    from apc_bench.settings.job import shipped_jobs, sweep_from

    assert "nightly" in shipped_jobs()
    sweep, _ = sweep_from("nightly", {})
    assert sweep.synthetic is not None and len(sweep.seeds) >= 5
