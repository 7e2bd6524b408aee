"""The README's detector and reader as an installed package, and a job that uses the detector."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
JOB = """
image_size: 32
reserve: 2
shots: [1]
seeds: [0]
methods:
  mine: {detector: deviation, backbone: builtin, title: Deviation, settings: {floor: 2}}
"""


def example() -> tuple[str, str, str]:
    """The README's detector, entry points and reader."""
    section = README.read_text().split("## Detectors and readers of your own")[1].split("\n## ")[0]
    detector, reader = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    return detector, toml, reader


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
