"""What every malformed input must meet with, whatever it is: `refused`."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support import _command, make_category

TINY = "image_size: 32\nreserve: 2\nshots: [1]\nseeds: [0]\n"
PATCHCORE = (
    "methods: {patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}}\n"
)


class Refused:
    """Runs commands that must refuse their input, and gathers what went wrong with it. `place` is
    for inputs; a run folder `place / "never"` must not come to be.
    """

    def __init__(self, place: Path, cache: Path) -> None:
        self.place, self.cache = place, cache
        self.tried = 0
        self.faults: list[str] = []

    def run(self, *arguments: object) -> Result:
        return CliRunner().invoke(_command, [str(argument) for argument in arguments])

    def __call__(self, name: str, culprit: str, *arguments: object) -> None:
        """The command must end with code 2 and one line that names the culprit."""
        self.tried += 1
        result = self.run(*arguments)
        errors = [line for line in result.output.splitlines() if line.startswith("error: ")]
        clean = "Traceback" not in result.output and isinstance(result.exception, SystemExit)
        if result.exit_code != 2 or len(errors) != 1 or not clean:
            how = f"code {result.exit_code}, {result.exception!r}"
            self.faults.append(f"{name}: {how}: {result.output[-400:]}")
        elif culprit not in errors[0]:
            self.faults.append(f"{name}: {culprit!r} is not named in {errors[0][:400]}")
        elif not result.output.rstrip().endswith(errors[0]):
            self.faults.append(f"{name}: the error is not the last line: {result.output[-400:]}")

    def swept(self, name: str, culprit: str, *options: object) -> None:
        """A sweep into a new run folder must be refused."""
        places = ("--cache", self.cache, "--run", self.place / "never")
        self(name, culprit, "sweep", "--executor", "serial", *places, *options)

    def job(self, methods: str = PATCHCORE) -> Path:
        """A sound job file."""
        path = self.place / "sound.yaml"
        path.write_text(TINY + methods)
        return path

    def dataset(self, name: str) -> Path:
        """A sound dataset of one category, `part`."""
        return make_category(self.place / name, train=24, good=3, defects=4)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20261127)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def refused(tmp_path, cache, monkeypatch) -> Iterator[Refused]:
    """Afterwards: no fault, no run, and nothing written where the commands ran, or run as code."""
    place, outside = tmp_path / "inputs", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    (outside / "precious.txt").write_text("x")
    monkeypatch.chdir(outside)
    monkeypatch.setenv("COLUMNS", "200")
    before = listing(outside)
    commands = Refused(place, cache)
    yield commands
    print(f"\n{commands.tried:5d} malformed inputs")
    faults = "\n".join(commands.faults[:40])
    assert not faults, f"{len(commands.faults)} of {commands.tried}:\n{faults}"
    assert listing(outside) == before
    assert not (place / "never").exists()


def listing(place: Path) -> dict[Path, int]:
    """Files with their time of change."""
    return {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
