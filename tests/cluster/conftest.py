"""A folder for each file's runs and, once for all files, what one process makes of the job `tiny`:
the numbers that every other way must give.
"""

from pathlib import Path

import pytest
import yaml
from processes import finish, sweep


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="session")
def serial(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("one-process")
    finish(sweep(place, "serial", "--executor", "serial", "--device", "cpu"))
    return place / "serial"


@pytest.fixture(scope="module")
def endless(place) -> tuple[str, ...]:
    """The job `tiny` with a fine-tuning that takes hours, one shot and one seed: two fine-tunings
    and four trials, of which two can be done.
    """
    job = yaml.safe_load(Path("jobs/tiny.yaml").read_text()) | {"shots": [1], "seeds": [0]}
    job["methods"]["apc"]["settings"] |= {"steps": 100_000, "batch": 16}
    path = place / "endless.yaml"
    path.write_text(yaml.safe_dump(job))
    return ("--job", str(path))
