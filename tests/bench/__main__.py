"""`make bench`: every measurement in a process of its own, a table on the screen, and the same as
JSON and Markdown in reports/bench.

`python -m bench NAME …` from the folder `tests` measures only what is named; what was measured
before stays in the files.
"""

import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from bench.figure import Figure, markdown
from bench.inputs import SHARED, real_ones
from bench.other_work import other_work

from apc_bench.store.provenance import git_revision, gpu_names, recorded_environment

ON_GPU = ("gpu_finetuning", "gpu_category", "gpu_bank")
ON_REAL_IMAGES = ("search_real", "finetuning_real", "end_to_end_real")
MEASUREMENTS = (
    "coreset",
    "search",
    "search_real",
    "features",
    "metrics",
    "finetuning",
    "finetuning_real",
    "end_to_end",
    "end_to_end_real",
    "overhead",
    "reports",
    "large_category",
    "gate",
    "statistics",
    *ON_GPU,
)
AS_SHIPPED = {"THP_MEM_ALLOC_ENABLE": "0"}
"""apc-bench switches huge pages on for itself; its peers do not, and gain much by it: end_to_end.py
measures them both ways.
"""

RESULTS = Path(__file__).resolve().parents[2] / "reports" / "bench"


def main(names: list[str]) -> int:
    """Measures; the exit code is 1 when a measurement could not run, and never tells of a goal that
    is missed: timings depend on the machine.
    """
    if unknown := set(names) - set(MEASUREMENTS):
        print(
            f"no such measurement: {', '.join(sorted(unknown))} (known: {', '.join(MEASUREMENTS)})",
            file=sys.stderr,
        )
        return 2
    if not names:
        left_out = set()
        if not gpu_names():
            print(f"no GPU here: {', '.join(ON_GPU)} are left out")
            left_out |= set(ON_GPU)
        if not real_ones():
            print(f"no real images in {SHARED}: {', '.join(ON_REAL_IMAGES)} are left out")
            left_out |= set(ON_REAL_IMAGES)
        names = [name for name in MEASUREMENTS if name not in left_out]
    broken = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "APC_BENCH_INPUTS": os.environ.get("APC_BENCH_INPUTS", folder),
            "PYTHONWARNINGS": "ignore",
        }
        environment |= AS_SHIPPED
        environment.pop(
            "PYTHONDONTWRITEBYTECODE", None
        )  # no tool is to compile its modules again in every process
        for name in names:
            print(f"\n## {name}\n", flush=True)
            out = Path(folder) / f"{name}.json"
            with other_work() as others:
                code = subprocess.run(
                    [sys.executable, "-m", "bench", "--one", name, str(out)],
                    env=environment,
                    check=False,
                ).returncode
            if code:
                broken.append(name)
                continue
            _keep(name, json.loads(out.read_text()), str(others))
            print(others)
            print(markdown([Figure(**entry) for entry in json.loads(out.read_text())]), flush=True)
    if broken:
        print(f"could not be measured: {', '.join(broken)}", file=sys.stderr)
    print(f"tables: {RESULTS}")
    return 1 if broken else 0


def one(name: str, out: Path) -> int:
    """A single measurement, in this process."""
    figures: Iterable[Figure] = importlib.import_module(f"bench.{name}").figures()
    out.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures]))
    return 0


def _keep(name: str, entries: list[dict[str, object]], others: str) -> None:
    """Puts a measurement's figures, with day, revision and machine, in the place of its earlier
    ones.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "figures.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    machine = recorded_environment()
    where = {key: machine[key] for key in ("processor", "cores", "python", "gpus")} | {
        "system": platform.system()
    }
    kept[name] = {
        "date": date.today().isoformat(),
        "git": git_revision(),
        "machine": where,
        "others": others,
        "figures": entries,
    }
    kept = {known: kept[known] for known in MEASUREMENTS if known in kept}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    parts = [
        f"## {known}\n\n{_when(found)}\n\n{markdown([Figure(**entry) for entry in found['figures']])}"
        for known, found in kept.items()
    ]
    (RESULTS / "figures.md").write_text("# Measurements (`make bench`)\n\n" + "\n".join(parts))


def _when(found: dict[str, object]) -> str:
    machine, git = found["machine"], found["git"]
    assert isinstance(machine, dict)
    revision = (
        f"commit {str(git['commit'])[:7]}{' with changes' if git['dirty'] else ''}"
        if isinstance(git, dict)
        else "installed package"
    )
    gpus = "".join(f", {name}" for name in machine["gpus"])
    others = f"; {found['others']}" if "others" in found else ""
    return (
        f"{found['date']}, {revision}, {machine['processor']}, {machine['cores']} cores{gpus},"
        f" Python {machine['python']}{others}."
    )


if __name__ == "__main__":
    sys.exit(
        one(sys.argv[2], Path(sys.argv[3])) if sys.argv[1:2] == ["--one"] else main(sys.argv[1:])
    )
