"""The example package's detector and reader as an installed package, and a job that uses the
detector.
"""

import re
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[1] / "examples" / "detector_plugin"
JOB = """
image_size: 32
reserve: 2
shots: [1]
seeds: [0]
methods:
  mine: {detector: deviation, backbone: builtin, title: Deviation, settings: {floor: 2}}
"""


def example() -> tuple[str, str, str]:
    """The example's detector, its entry points and its reader."""
    project = (PLUGIN / "pyproject.toml").read_text()
    entries = re.search(r"(\[project\.entry-points.*?)\n\[tool", project, re.DOTALL)
    assert entries
    return (PLUGIN / "deviation.py").read_text(), entries[1], (PLUGIN / "labels.py").read_text()


def install(
    site: Path, package: str, modules: dict[str, str], entries: str, version: str = "0.1"
) -> None:
    """What an installer leaves: modules and the package's metadata."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    text = re.sub(r'\[project\.entry-points\."(.*?)"\]', r"[\1]", entries).replace('"', "")
    (info / "entry_points.txt").write_text(text)
    for name, code in modules.items():
        (site / f"{name}.py").write_text(code)
