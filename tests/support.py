"""What several test files share: the command line in this process, and small datasets on disk."""

import sys
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from apc_bench.cli import cli, guarded

PATCHCORE_JOB = """
image_size: 32
reserve: 1
shots: [1]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
"""
"""PatchCore alone, on images of 32 px."""


def apc_bench(*arguments: object, code: int = 0) -> Result:
    """Runs the command as `apc-bench` does, in this process."""
    result = CliRunner().invoke(
        _command, [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == code, result.output
    return result


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    }
)
@click.pass_context
def _command(ctx):
    sys.exit(guarded(lambda: cli(ctx.args, standalone_mode=False)))


def make_category(
    root: Path,
    name: str = "part",
    *,
    train: int = 4,
    good: int = 3,
    defects: int = 4,
    masks: bool = True,
    size: int = 32,
) -> Path:
    """A small MVTec-layout category of noise, the anomalous ones with a bright square."""
    generator = np.random.default_rng(0)
    for folder, count in (("train/good", train), ("test/good", good), ("test/dent", defects)):
        for index in range(count):
            pixels = generator.integers(0, 100, (size, size, 3), np.uint8)
            mask = np.zeros((size, size), np.uint8)
            if folder == "test/dent":
                mask[size // 4 : size // 2, size // 4 : size // 2] = 255
                pixels[mask > 0] = 255 - index
            path = root / name / folder / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            if masks and folder == "test/dent":
                place = root / name / "ground_truth" / "dent" / f"{index:03}_mask.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(place)
    return root


def small_job(tmp_path: Path) -> Path:
    """A job of seconds: both systems, one shot, one seed."""
    job = tmp_path / "small.yaml"
    job.write_text(
        "image_size: 32\nreserve: 2\nshots: [1]\nseeds: [0]\nmethods:\n  patchcore: {backbone:"
        " builtin, settings: {pretrain_dim: 32, target_dim: 32}}\n  apc: {detector: apc, backbone:"
        " builtin, settings: {pretrain_dim: 32, target_dim: 32, steps: 2, batch: 4}}\n"
    )
    return job
