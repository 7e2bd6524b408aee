"""--part and --unseen: who is tested and who is drawn."""

import polars as pl
from support import apc_bench, make_category

JOB = """
image_size: 32
reserve: 2
shots: [2]
seeds: [0]
methods:
  patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}
"""


def dataset(place):
    """Two defect types, and a groups.csv that puts every other test image into the part dev."""
    folder = make_category(place / "data", train=4, good=4, defects=6) / "part"
    (folder / "test" / "crack").mkdir()
    for path in sorted((folder / "test" / "dent").iterdir()):
        (folder / "test" / "crack" / path.name).write_bytes(path.read_bytes() + b" ")
    images = sorted(path.relative_to(folder).as_posix() for path in folder.glob("test/*/*.png"))
    rows = [
        f"{image},{image},{'dev' if number % 2 else 'final'}" for number, image in enumerate(images)
    ]
    (folder / "groups.csv").write_text("\n".join(["image,group,part", *rows]))
    (place / "job.yaml").write_text(JOB)
    return (
        "sweep",
        "--job",
        place / "job.yaml",
        "--data",
        place / "data",
        "--executor",
        "serial",
        "--cache",
        place / "cache",
    ), images


def split(run):
    return pl.read_parquet(f"{run}/splits/**/*.parquet", hive_partitioning=False)


def test_a_part_is_all_that_is_tested_and_drawn_from(tmp_path):
    command, images = dataset(tmp_path)
    apc_bench(*command, "--part", "dev", "--run", tmp_path / "dev")
    rows = split(tmp_path / "dev")
    assert set(rows.filter(pl.col("split") != "train")["image"]) == set(images[1::2])
    assert len(rows.filter(pl.col("split") == "train")) == 4
    assert "Part" in (tmp_path / "dev" / "report" / "index.html").read_text()


def test_the_whole_and_its_parts_are_different_runs(tmp_path):
    command, _ = dataset(tmp_path)
    apc_bench(*command, "--run", tmp_path / "run")
    assert (
        "part was None, now 'dev'"
        in apc_bench(*command, "--part", "dev", "--run", tmp_path / "run", code=2).output
    )


def test_an_unknown_part_is_named_with_those_there_are(tmp_path):
    command, _ = dataset(tmp_path)
    assert (
        "dev, final"
        in apc_bench(*command, "--part", "test", "--run", tmp_path / "run", code=2).output
    )


def test_an_unseen_type_is_never_drawn_and_alone_is_tested(tmp_path):
    command, _ = dataset(tmp_path)
    apc_bench(*command, "--unseen", "crack", "--run", tmp_path / "run")
    rows = split(tmp_path / "run")
    assert set(rows.filter(pl.col("draw").is_not_null())["defect_type"]) == {"dent"}
    assert set(rows.filter(pl.col("split") == "test")["defect_type"]) == {"good", "crack"}
    assert len(rows.filter((pl.col("split") == "test") & (pl.col("defect_type") == "crack"))) == 6


def test_an_unknown_defect_type_is_named_with_those_there_are(tmp_path):
    command, _ = dataset(tmp_path)
    assert (
        "crack, dent"
        in apc_bench(*command, "--unseen", "scratch", "--run", tmp_path / "run", code=2).output
    )
