"""An external method's maps through our split and metrics: our own maps come back with the same
figures, and what is wrong with maps is one line.
"""

import csv
import json
import shutil

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from support import apc_bench, make_category

from apc_bench.datasets.geometry import Geometry
from apc_bench.external.maps import to_input
from apc_bench.external.scores import read_scores
from apc_bench.metrics.catalogue import AT_THRESHOLD, METRICS
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run

SIZE = 64


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    """The run, and its PatchCore's maps of seed 0 as other tools read them."""
    place = tmp_path_factory.mktemp("exported")
    apc_bench("export", small_run, place / "maps", "--method", "patchcore", "--seed", "0")
    return place / "maps"


def own(run, method, shots, seed, category, subset="test"):
    rows = (
        Run.open(run)
        .metrics()
        .filter(
            (pl.col("method") == method)
            & (pl.col("shots") == shots)
            & (pl.col("seed") == seed)
            & (pl.col("category") == category)
            & (pl.col("subset") == subset)
        )
    )
    return rows.to_dicts()[0]


def test_our_own_maps_come_back_with_the_same_figures(small_run, exported, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    info = Run.open(run).info
    said = apc_bench(
        "evaluate",
        exported,
        "--name",
        "foreign",
        "--title",
        "Not ours",
        "--run",
        run,
        "--cache",
        tmp_path / "cache",
    )
    assert "Not ours" in said.output and "PatchCore" in said.output and Run.open(run).info == info
    results = read_results(Run.open(run))
    assert [system.label for system in results.systems] == ["PatchCore", "APC, 2 shots", "Not ours"]
    assert (
        info.settings["image_size"] == info.settings["synthetic"]["size"]
    )  # so no resize lies between
    for category in results.categories:
        for subset in ("test", "full"):
            ours, theirs = (
                own(run, "patchcore", 0, 0, category, subset),
                own(run, "foreign", 0, 0, category, subset),
            )
            assert {
                name: theirs[name] for name in ("normal", "anomalous", "masked", "emptied")
            } == {name: ours[name] for name in ("normal", "anomalous", "masked", "emptied")}
            for metric in (*METRICS, *AT_THRESHOLD, "threshold"):
                assert theirs[metric] == pytest.approx(ours[metric], abs=1e-9), metric
        assert own(run, "foreign", 0, 0, category)["seconds_total"] is None
    page = apc_bench("report", run, "--out", tmp_path / "report")
    assert (
        "Not ours" in page.output and "Not ours" in (tmp_path / "report" / "index.html").read_text()
    )
    compared = json.loads(
        apc_bench(
            "compare", run, run, "--pair", "foreign=patchcore", "--metric", "image_auroc", "--json"
        ).stdout
    )
    assert {one["category"] for one in compared["deltas"]} == {None, *results.categories}


@pytest.fixture
def part(tmp_path):
    """A dataset, and maps of noise for it as .npy of the original size."""
    data = make_category(tmp_path / "data", train=6, good=4, defects=7, size=SIZE)
    generator = np.random.default_rng(1)
    for path in sorted((data / "part" / "test").rglob("*.png")):
        one = tmp_path / "maps" / "part" / path.relative_to(data / "part").with_suffix(".npy")
        one.parent.mkdir(parents=True, exist_ok=True)
        np.save(one, generator.normal(size=(SIZE, SIZE)).astype(np.float32))
    return tmp_path


def run_on(place, *options, code=0):
    fixed = ("--name", "noise", "--run", place / "run", "--cache", place / "cache")
    default = (
        "--data",
        place / "data",
        "--reserve",
        "2",
        "--image-size",
        str(SIZE),
        "--seeds",
        "0,1",
    )
    return apc_bench("evaluate", place / "maps", *fixed, *(options or default), code=code).output


def test_metrics_are_scikit_learns_and_the_run_says_what_it_is(part):
    run_on(part)
    run = Run.open(part / "run")
    for seed in (0, 1):
        split = run.split("part", seed)
        tested = [split.rows[row].sample for row in split.where("test")]
        maps = {
            sample.image: np.load((part / "maps" / "part" / sample.image).with_suffix(".npy"))
            for sample in tested
        }
        masks = {
            sample.image: (
                np.asarray(Image.open(part / "data" / "part" / sample.mask)) > 0
                if sample.mask
                else np.zeros((SIZE, SIZE), bool)
            )
            for sample in tested
        }
        found = own(part / "run", "noise", 0, seed, "part")
        pixels, truth = (
            np.concatenate([table[name].ravel() for name in maps]) for table in (maps, masks)
        )
        assert found["pixel_auroc"] == pytest.approx(roc_auc_score(truth, pixels))
        assert found["pixel_ap"] == pytest.approx(average_precision_score(truth, pixels))
        labels = [sample.anomalous for sample in tested]
        largest = [values.max() for values in maps.values()]
        assert found["image_auroc"] == pytest.approx(roc_auc_score(labels, largest))
        assert found["threshold"] is None and "largest value of the map" in " ".join(found["notes"])
    assert own(part / "run", "noise", 0, 0, "part", "full")["anomalous"] == 7
    assert "one set of maps for all seeds" in " ".join(
        own(part / "run", "noise", 0, 0, "part")["notes"]
    )
    assert run.info.settings["methods"]["noise"]["detector"] == "foreign"
    run_on(part, "--seeds", "0", code=2)
    run_on(part, "--title", "Noise")  # the same folder again: its own settings


def test_scores_and_calibration_come_from_a_file(part):
    rows = [
        {
            "image": f"part/{path.relative_to(part / 'data' / 'part')}",
            "anomaly_score": index,
            "split": "test",
        }
        for index, path in enumerate(sorted((part / "data" / "part" / "test").rglob("*.png")))
    ]
    rows += [
        {
            "image": f"part/train/good/{index:03}.png",
            "anomaly_score": index - 10,
            "split": "calibration",
        }
        for index in range(6)
    ]
    with (part / "maps" / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run_on(part)
    found = own(part / "run", "noise", 0, 0, "part")
    assert (
        found["image_auroc"] == 0.0 and found["calibration_images"] == 6
    )  # 'dent' comes before 'good'
    (part / "maps" / "scores.csv").write_text("image,score\npart/test/dent/000.png,1\n")
    assert "scores of part: missing: 10 (test/dent/001.png, " in run_on(
        part, "--title", "Noise", code=2
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda maps: (maps / "dent/001.npy").unlink(), "missing: 1 (test/dent/001.png)"),
        (
            lambda maps: np.save(maps / "dent/001.npy", np.zeros((9, 8))),
            "of another size: 1 (test/dent/001.png 8 × 9, neither the image's 64 × 64",
        ),
        (
            lambda maps: np.save(maps / "good/000.npy", np.full((SIZE, SIZE), np.nan)),
            "not finite: 1 (test/good/000.png)",
        ),
        (
            lambda maps: np.save(maps / "good/000.npy", np.zeros((SIZE, SIZE, 3))),
            "not one map of rows and columns: 1",
        ),
        (
            lambda maps: (maps / "good/000.npy").write_bytes(b"x"),
            "cannot be read: 1 (test/good/000.png: ",
        ),
        (lambda maps: np.save(maps / "good/000.npy", np.array([{}])), "cannot be read: 1"),
        (lambda maps: shutil.rmtree(maps), "no maps in it; they belong in"),
    ],
)
def test_maps_that_are_wrong_are_named_in_one_line_before_anything_is_written(part, spoil, message):
    spoil(part / "maps" / "part" / "test")
    said = run_on(part, code=2)
    assert message in said and said.count("\n") == 1 and said.startswith("error: ")
    assert not (part / "run").exists()


def test_every_seed_may_have_maps_of_its_own(part):
    (part / "maps" / "part").rename(part / "own")
    (part / "maps" / "seed=0").mkdir()
    (part / "own").rename(part / "maps" / "seed=0" / "part")
    assert "no maps of seed 1 (it has seed=0)" in run_on(part, code=2)
    run_on(
        part, "--data", part / "data", "--reserve", "2", "--image-size", str(SIZE), "--seeds", "0"
    )


def test_a_run_of_other_data_is_not_added_to(part):
    run_on(part)
    path = part / "data" / "part" / "test" / "good" / "000.png"
    path.write_bytes((part / "data" / "part" / "test" / "good" / "001.png").read_bytes())
    assert "the content of part is not what that run was made on" in run_on(
        part, "--title", "Noise", code=2
    )


def test_a_method_of_the_run_itself_is_not_replaced(small_run, exported, tmp_path):
    before = Run.open(small_run).metrics()
    said = apc_bench(
        "evaluate",
        exported,
        "--name",
        "patchcore",
        "--run",
        small_run,
        "--cache",
        tmp_path / "cache",
        code=2,
    )
    assert "has a method 'patchcore' of its own" in said.output and Run.open(
        small_run
    ).metrics().equals(before)
    assert (
        "--seeds is that of the run"
        in apc_bench(
            "evaluate", exported, "--name", "x", "--run", small_run, "--seeds", "0", code=2
        ).output
    )


def test_a_method_that_learned_from_drawn_images_has_maps_of_each_seed(part):
    """Those of one seed would be tested on images that they were learned from."""
    default = ("--data", part / "data", "--reserve", "2", "--image-size", str(SIZE), "--shots", "2")
    assert "every seed draws other images to learn from" in run_on(
        part, *default, "--seeds", "0,1", code=2
    )
    run_on(part, *default, "--seeds", "1")
    run = Run.open(part / "run")
    reserved = run.split("part", 1).where("reserved")
    metrics = run.metrics()
    tested = metrics.filter(pl.col("subset") == "test").to_dicts()[0]
    assert (tested["shots"], tested["anomalous"]) == (2, 7 - len(reserved))
    assert "full" not in metrics["subset"]


@pytest.mark.parametrize("resize", ["square", "letterbox", "crop"])
def test_a_map_goes_where_its_image_goes(resize):
    geometry = Geometry(32, resize)
    ramp = np.linspace(0, 255, 96 * 64).reshape(64, 96).astype(np.uint8)
    image = geometry.apply_mask(ramp > 127)
    brought = to_input((ramp > 127).astype(np.float32), (64, 96), geometry)
    assert ((brought > 0.5) == image).mean() > 0.95


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs the columns image and score"),
        ("image,score\nx,nan\n", "x ('nan')"),
        ("image,score\nx,1\nx,2\n", "x (twice)"),
    ],
)
def test_scores_that_are_wrong_are_named(tmp_path, text, message):
    from apc_bench.errors import DataError

    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path / "s.csv", {"part": ["x"]})
    assert message in str(caught.value)


IMAGES = {
    "bottle": {"test/label/000.png", "test/good/000.png"},
    "label": {"test/tear/000.png", "test/good/000.png"},
    "test": {"test/test/000.png", "train/good/000.png"},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("image,score\nlabel/test/good/000.png,1\n", ("label", "test/good/000.png")),
        ("image,score\nbottle/test/label/000.png,1\n", ("bottle", "test/label/000.png")),
        ("image,score\n/x/label/bottle/test/good/000.png,1\n", ("bottle", "test/good/000.png")),
        ("image,score\nC:\\test\\label\\test\\tear\\000.png,1\n", ("label", "test/tear/000.png")),
        ("image,score\ntest/test/test/000.png,1\n", ("test", "test/test/000.png")),
        ("image;score\nd/test/train/good/000.png;1,0\n", ("test", "train/good/000.png")),
        ("category,image,score\nlabel,test/good/000.png,1\n", ("label", "test/good/000.png")),
        (
            "category,image,score\nlabel,bottle/label/test/good/000.png,1\n",
            ("label", "test/good/000.png"),
        ),
    ],
)
def test_a_score_is_of_the_one_image_that_its_path_can_mean(tmp_path, text, found):
    (tmp_path / "s.csv").write_text(text)
    scores = read_scores(tmp_path / "s.csv", IMAGES)
    assert scores.test == {found: 1.0} and not scores.strangers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,score\nbottle/label/test/good/000.png,1\n",
            "line 2: bottle/label/test/good/000.png",
        ),
        ("image,score\nlabel/test/good/000.png,0,5\n", "line 2: 3 fields separated by commas"),
        ("image,score\nlabel/test/good/000.png,inf\n", "line 2: label/test/good/000.png ('inf')"),
        ('image,score\nlabel/test/good/000.png,"0,5"\n', "line 2: label/test/good/000.png ('0,5')"),
        (
            "image,score,split\nlabel/test/good/000.png,0,5\n",
            "line 2: label/test/good/000.png (split '5')",
        ),
        ("image;score\nlabel/test/good/000.png;1,234\n", "may part decimals or thousands"),
        ("image,score,pred_score\nx,1,2\n", "score, pred_score are all scores"),
    ],
)
def test_a_score_that_may_be_another_is_refused_with_file_and_line(tmp_path, text, message):
    from apc_bench.errors import DataError

    images = {"bottle": {"label/test/good/000.png"}, "label": {"test/good/000.png"}}
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path / "s.csv", images)
    assert message in str(caught.value) and str(caught.value).startswith(str(tmp_path / "s.csv"))


def test_a_row_of_no_image_is_named_where_one_is_missing(part):
    (part / "maps" / "scores.csv").write_text("image,score\npart/test/dent/0.png,1\n")
    said = run_on(part, code=2)
    assert (
        "missing: 11 (" in said and "1 rows are of no image (line 2: part/test/dent/0.png)" in said
    )


def pages(path):
    first, second = (Image.fromarray(np.full((SIZE, SIZE), n, np.float32)) for n in (1, 2))
    path.with_suffix(".npy").unlink()
    first.save(path.with_suffix(".tiff"), save_all=True, append_images=[second])


def beside(ending):
    def write(path):
        values = np.zeros((SIZE, SIZE), np.float32)
        if ending == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path.with_suffix(ending), format="TIFF")

    return write


def palette(path):
    path.with_suffix(".npy").unlink()
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8), "P").save(path.with_suffix(".tif"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (beside(".tiff"), "in several files: 1 (test/dent/001.png: 001.npy, 001.tiff)"),
        (beside(".TIF"), "in several files: 1 (test/dent/001.png: 001.TIF, 001.npy)"),
        (pages, "of several pages: 1 (test/dent/001.png (2))"),
        (palette, "of colours, not of scores: 1 (test/dent/001.png"),
        (
            lambda path: np.save(path.with_suffix(".npy"), np.ones((SIZE, SIZE), complex)),
            "not of real numbers: 1 (test/dent/001.png (complex128))",
        ),
        (
            lambda path: np.save(path.with_suffix(".npy"), np.full((SIZE, SIZE), 1e300)),
            "beyond the range of float32: 1 (test/dent/001.png (1e+300))",
        ),
    ],
)
def test_a_map_is_one_file_with_one_page_of_numbers(part, spoil, message, recwarn):
    spoil(part / "maps" / "part" / "test" / "dent" / "001")
    said = run_on(part, code=2)
    assert message in said and said.count("\n") == 1
    assert not [one for one in recwarn if one.category is RuntimeWarning]
    assert not (part / "run").exists()


def test_one_map_for_two_images_is_refused(part):
    image = part / "data" / "part" / "test" / "good" / "001.png"
    Image.open(image).convert("RGB").rotate(90).save(image.with_suffix(".bmp"))
    said = run_on(part, code=2)
    assert "one for images of one name: test/good/001.bmp, test/good/001.png" in said


def test_maps_in_seed_folders_and_beside_them_are_refused(part):
    shutil.copytree(part / "maps" / "part", part / "maps" / "seed=0" / "part")
    assert "holds maps of part both in seed=0 and beside it" in run_on(part, code=2)


def test_maps_of_a_category_called_test_are_its_own(part):
    """A category, a defect type and a parent folder of one name; image scores from the file."""
    shutil.move(part / "data" / "part", part / "data" / "test")
    shutil.move(part / "maps" / "part", part / "maps" / "test")
    for place in (part / "data" / "test" / "test", part / "data" / "test" / "ground_truth"):
        shutil.move(place / "dent", place / "test")
    shutil.move(part / "maps" / "test" / "test" / "dent", part / "maps" / "test" / "test" / "test")
    (part / "maps" / "Test" / "test").mkdir(parents=True)
    rows = [
        f"test/test/{kind}/{number:03}.png,{number + 10 * (kind == 'test')}"
        for kind, count in (("good", 4), ("test", 7))
        for number in range(count)
    ]
    (part / "maps" / "scores.csv").write_text("\n".join(["image,score", *rows]))
    said = run_on(part)
    assert "passed over Test: no category of the dataset" in said
    found = own(part / "run", "noise", 0, 0, "test", "full")
    assert (found["image_auroc"], found["normal"], found["anomalous"]) == (1.0, 4, 7)


NARROWED = {
    "crossfit": "protocol: crossfit\nfolds: 2\n",
    "unseen": "unseen: dent\nreserve: 2\nshots: [1]\nseeds: [0, 1]\n",
    "part": "part: dev\nreserve: 2\nshots: [1]\nseeds: [0, 1]\n",
}


@pytest.mark.parametrize("kind", NARROWED)
def test_a_runs_own_split_is_evaluated_on_whatever_narrows_it(kind, tmp_path):
    """Folds, an unseen type, a part of groups.csv: an external method meets the images that the
    run's own methods met.
    """
    data = make_category(tmp_path / "data", train=24, good=4, defects=6, size=SIZE)
    folder = data / "part"
    for place in ("test", "ground_truth"):
        shutil.copytree(folder / place / "dent", folder / place / "scratch")
    for path in (folder / "test" / "scratch").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    rows = [
        f"test/{path.parent.name}/{path.name},{path.parent.name}{path.stem},{'dev' if int(path.stem) < 3 else 'final'}"
        for path in (folder / "test").rglob("*.png")
    ]
    (folder / "groups.csv").write_text("\n".join(["image,group,part", *rows]))
    job = tmp_path / "job.yaml"
    method = (
        "methods: {patchcore: {backbone: builtin, settings: {pretrain_dim: 32, target_dim: 32}}}\n"
    )
    job.write_text(f"image_size: {SIZE}\n{NARROWED[kind]}{method}")
    run, maps = tmp_path / "run", tmp_path / "maps"
    apc_bench(
        "sweep",
        "--no-page",
        "--job",
        job,
        "--data",
        data,
        "--run",
        run,
        "--cache",
        tmp_path / "cache",
        "--executor",
        "serial",
    )
    for seed in (0, 1):
        apc_bench("export", run, maps / f"seed={seed}", "--method", "patchcore", "--seed", seed)
    apc_bench("evaluate", maps, "--name", "foreign", "--run", run, "--cache", tmp_path / "cache")
    for seed in (0, 1):
        ours, theirs = own(run, "patchcore", 0, seed, "part"), own(run, "foreign", 0, seed, "part")
        for name in ("normal", "anomalous", "image_auroc", "pixel_auroc", "pixel_ap"):
            assert theirs[name] == pytest.approx(ours[name], abs=1e-9), name
