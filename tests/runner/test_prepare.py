"""What is wrong with the input is said before anything starts: one line, exit code 2, no run."""

import pytest
from support import apc_bench, make_category, small_job

from apc_bench.runner.prepare import find_dataset
from apc_bench.settings.job import sweep_from
from apc_bench.store import provenance
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run


def test_unreadable_images_are_all_named_before_the_start_or_left_out_on_request(tmp_path):
    make_category(tmp_path / "data")
    for name in ("train/good/000.png", "test/dent/001.png"):
        (tmp_path / "data" / "part" / name).write_bytes(b"no picture")
    places = ("--data", tmp_path / "data", "--cache", tmp_path / "c", "--run", tmp_path / "run")
    options = ("sweep", "--job", small_job(tmp_path), "--executor", "serial", *places)
    result = apc_bench(*options, code=2)
    assert "train/good/000.png" in result.output
    assert "test/dent/001.png" in result.output
    assert not (tmp_path / "run").exists()
    result = apc_bench(*options, "--skip-unreadable")
    assert "left out 2 images (--skip-unreadable): " in result.output
    assert set(Run.open(tmp_path / "run").info.left_out["part"]) == {
        "train/good/000.png",
        "test/dent/001.png",
    }


@pytest.mark.parametrize(
    ("asked", "flags", "resolved"),
    [
        ("auto", "avx512f avx512_bf16", "bfloat16"),
        ("auto", "avx512f", "float32"),
        ("float32", "avx512f avx512_bf16", "float32"),
    ],
)
def test_trainings_run_in_bfloat16_where_the_processor_is_made_for_it_and_nobody_says_otherwise(
    tmp_path, monkeypatch, asked, flags, resolved
):
    monkeypatch.setattr(provenance, "_cpu_line", lambda *names: flags)
    make_category(tmp_path / "data")
    job = small_job(tmp_path)
    job.write_text(f"precision: {asked}\ndevice: cpu\n{job.read_text()}")
    sweep, _ = sweep_from(str(job), {})
    said: list[str] = []
    sweep, _ = find_dataset(sweep, tmp_path / "data", Cache(tmp_path / "c"), say=said.append)
    assert sweep.precision == resolved


def _no_folder(tmp_path):
    return ("--data", tmp_path / "nowhere"), "no such folder"


def _no_category(tmp_path):
    (tmp_path / "empty").mkdir()
    return ("--data", tmp_path / "empty"), "no category in"


def _no_train(tmp_path):
    make_category(tmp_path / "data")
    for path in (tmp_path / "data/part/train/good").iterdir():
        path.unlink()
    return ("--data", tmp_path / "data"), "category 'part' has no images ("


def _shots_above_the_reserve(tmp_path):
    make_category(tmp_path / "data")
    return ("--data", tmp_path / "data", "--shots", "3"), "shots 3 are above the reserve of 2"


def _reserve_empties_the_test_set(tmp_path):
    make_category(tmp_path / "data")
    return ("--data", tmp_path / "data", "--reserve", "4"), "has 4 defect photos, too few"


def _unknown_category(tmp_path):
    make_category(tmp_path / "data")
    return ("--data", tmp_path / "data", "--categories", "prt"), "did you mean 'part'?"


def _unknown_method(tmp_path):
    make_category(tmp_path / "data")
    return ("--data", tmp_path / "data", "--methods", "pachcore"), "did you mean 'patchcore'?"


def _unknown_backbone(tmp_path):
    make_category(tmp_path / "data")
    return ("--data", tmp_path / "data", "--backbone", "resnet-50"), "did you mean 'resnet50'?"


def _weights_of_another_network(tmp_path):
    import torch
    from torchvision.models import resnet18

    make_category(tmp_path / "data")
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "w.pth")
    return (
        "--data",
        tmp_path / "data",
        "--backbone",
        "resnet50",
        "--weights",
        tmp_path / "w.pth",
    ), "resnet18"


def _no_weights_file(tmp_path):
    make_category(tmp_path / "data")
    return (
        "--data",
        tmp_path / "data",
        "--backbone",
        "resnet50",
        "--weights",
        tmp_path / "none.pth",
    ), "none.pth"


def _leak(tmp_path):
    make_category(tmp_path / "data")
    data = (tmp_path / "data/part/train/good/000.png").read_bytes()
    (tmp_path / "data/part/test/good/000.png").write_bytes(data)
    return ("--data", tmp_path / "data"), "the same content"


def _run_folder_is_something_else(tmp_path):
    make_category(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.txt").write_text("photos")
    return (
        "--data",
        tmp_path / "data",
        "--run",
        tmp_path / "full",
    ), "is not empty and no run folder"


BAD = (
    _no_folder,
    _no_category,
    _no_train,
    _shots_above_the_reserve,
    _reserve_empties_the_test_set,
    _unknown_category,
    _unknown_method,
    _unknown_backbone,
    _weights_of_another_network,
    _no_weights_file,
    _leak,
    _run_folder_is_something_else,
)


@pytest.mark.parametrize("case", BAD, ids=[case.__name__.strip("_") for case in BAD])
def test_bad_input_gets_one_clear_line_and_exit_code_2(tmp_path, case):
    arguments, message = case(tmp_path)
    run = () if "--run" in arguments else ("--run", tmp_path / "run")
    options = ("--job", small_job(tmp_path), "--executor", "serial", "--cache", tmp_path / "c")
    result = apc_bench("sweep", *options, *run, *arguments, code=2)
    lines = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--reserve", "10", "--shots", "1,5,10"), "--reserve 2 --shots 1,2, which leaves 2 of"),
        (("--protocol", "crossfit", "--folds", "5"), "5 folds need 5 groups"),
        (("--protocol", "crossfit", "--folds", "4", "--shots", "5"), "pass --shots 3 or leave it"),
    ],
    ids=["reserve", "folds", "shots"],
)
def test_too_few_photos_are_told_before_weights_are_asked_for(tmp_path, asked, told):
    """Of a network that is not here: nothing is said of it."""
    make_category(tmp_path / "data")
    (tmp_path / "job.yaml").write_text("methods: {patchcore: {backbone: resnet50}}")
    places = ("--data", tmp_path / "data", "--cache", tmp_path / "c", "--run", tmp_path / "run")
    output = apc_bench("sweep", "--job", tmp_path / "job.yaml", *places, *asked, code=2).output
    assert output.startswith("error: ") and output.count("\n") == 1
    assert told in output


@pytest.mark.parametrize(
    "value", ["0", "-1", "1,,5", "1e3", "\uff11", "1 000", "", "1000000000", "5,5"]
)
def test_a_bad_number_on_the_command_line_is_named(value):
    result = apc_bench("sweep", "--shots", value, code=2)
    assert result.output.startswith("error: ")
    assert len(result.output.splitlines()) == 1
