"""A side of a comparison: runs, published figures, and the tables that other tools really write,
read to the digit.
"""

import json

import pytest

from apc_bench.compare.sources import read_side
from apc_bench.errors import ApcError, DamagedFile, UsageError
from apc_bench.results.reading import read_results
from apc_bench.store.run import Run

# The head and some lines of files as the tools write them.
PATCHCORE = """Row Names,instance_auroc,full_pixel_auroc,full_pro,anomaly_pixel_auroc,anomaly_pro
mvtec_bottle,1.0,0.9848388278688711,0.737358122783696,0.9795612184704285,0.9714400665245521
mvtec_metal_nut,0.9990224828934506,0.9834022508919757,0.7506144537378736,0.9792229979033923,0.9281791632242521
Mean,0.9995112414467253,0.9841205393804234,0.7439862882607848,0.9793921081869104,0.949809614874388
"""
ANOMALIB = """accelerator,anomalib_version,job_duration,fit_duration,test_duration,seed,model.class_path,data.class_path,data.init_args.category,\
image_AUROC,image_F1Score,pixel_AUROC,pixel_F1Score,pixel_AUPRO
cpu,2.7.0,31.5,20.25,11.25,0,anomalib.models.Patchcore,MVTecAD,bottle,1.0,0.992,0.981,0.72,0.93
cpu,2.7.0,32.5,20.25,12.25,1,anomalib.models.Patchcore,MVTecAD,bottle,0.99,0.991,0.982,0.71,0.92
cpu,2.7.0,12.5,2.25,10.25,0,anomalib.models.Padim,MVTecAD,bottle,0.97,0.98,0.975,0.7,0.91
"""
DINOMALY = """cuda:0
train image number:209
iter [4999/5000], loss:0.0475
bottle: I-Auroc:0.9151, I-AP:0.9770, I-F1:0.9231, P-AUROC:0.9696, P-AP:0.5490, P-F1:0.6469, P-AUPRO:0.8964
bottle: I-Auroc:1.0000, I-AP:1.0000, I-F1:1.0000, P-AUROC:0.9915, P-AP:0.8621, P-F1:0.8138, P-AUPRO:0.9750
cable: I-Auroc:0.9900, I-AP:0.9950, I-F1:0.9700, P-AUROC:0.9815, P-AP:0.7121, P-F1:0.7038, P-AUPRO:0.9350
Mean: I-Auroc:0.9950, I-AP:0.9975, I-F1:0.9850, P-AUROC:0.9865, P-AP:0.7871, P-F1:0.7588, P-AUPRO:0.9550
"""
ADER_LOG = """2024-06-01 10:00:00 - INFO - Test Time: 3.1s
2024-06-01 10:00:01 -
|  Name  |  mAUROC_sp_max  |  mAUROC_sp_max (Max)  |  mAP_sp_max  |  mF1_max_sp_max  |  mAUPRO_px  |  mAUROC_px  |  mAP_px  |  mF1_max_px  |
|:------:|:---------------:|:---------------------:|:------------:|:----------------:|:-----------:|:-----------:|:--------:|:------------:|
| bottle |     100.000     | 100.000 (50  epoch)   |   100.000    |     100.000      |   96.200    |   98.400    |  77.300  |    74.900    |
|  grid  |     96.500      |  99.100 (80  epoch)   |    98.900    |      97.300      |   90.500    |   97.600    |  36.400  |    41.100    |
|  Avg   |     98.250      |  99.550 (80  epoch)   |    99.450    |      98.650      |   93.350    |   98.000    |  56.850  |    58.000    |
"""
ADER_README = """# Benchmark
### MVTec AD-100epochs
| Method | mAU-ROC<sub>I</sub> | mAP<sub>I</sub> | m*F*1-max<sub>I</sub> | mAU-ROC<sub>P</sub> | <span style="color:red">mAU-PRO<sub>R</sub></span> | mAD |
|:-----:|:---:|:---:|:---:|:---:|:---:|:---:|
| [PatchCore, CVPR'22](https://github.com/amazon-science/patchcore-inspection) | **98.8** | **99.5** | **98.4** | **98.3** | <u>94.2</u> | **88.6** |
### VisA-100epochs
| Method | mAU-ROC<sub>I</sub> | mAP<sub>I</sub> |
|:-----:|:---:|:---:|
| [RD, CVPR'22](https://github.com/hq-deng/RD4AD) | 90.6 | 90.9 |
"""


def figures(side):
    return {(row.method, row.category, row.seed, row.metric): row.value for row in side.records}


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_run_is_read_to_the_last_figure(small_run):
    side = read_side(str(small_run))
    results = read_results(Run.open(small_run))
    assert (
        side.kind == "run"
        and side.categories == results.categories
        and side.info.settings == results.settings
    )
    found = {
        (*row.system, row.category, row.seed, row.metric, row.subset): row.value
        for row in side.records
    }
    for system in results.systems:
        for subset in ("test", "full"):
            for row in results.rows(system, subset):
                place = system.method, system.shots, row["category"], row["seed"]
                assert found[*place, "image_auroc", subset] == row["image_auroc"]
    assert found["apc", 2, side.categories[0], 0, "seconds_finetune", "test"] > 0


def test_a_run_without_results_and_a_folder_that_is_none_say_so(small_run, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("run.json", "plan.parquet"):
        (tmp_path / "run" / name).write_bytes((small_run / name).read_bytes())
    with pytest.raises(DamagedFile, match="no trial of this run has a result yet"):
        read_side(str(tmp_path / "run"))
    with pytest.raises(UsageError, match=r"no run folder .* and holds no table"):
        read_side(str(tmp_path))
    with pytest.raises(
        UsageError, match=r"unknown published table 'mvtec' .*did you mean 'mvtec_ad'"
    ):
        read_side("mvtec")
    with pytest.raises(UsageError, match="unknown source of mvtec_ad 'poster'"):
        read_side("mvtec_ad:poster")


def test_published_figures_keep_what_their_sources_print():
    side = read_side("mvtec_ad:patchcore_code")
    found = figures(side)
    method = "PatchCore WR50, 224 px, 10 % coreset [patchcore_code]"
    assert found[method, "bottle", None, "pixel_auroc"] == pytest.approx(0.9848) and found[
        method, None, None, "image_auroc"
    ] == pytest.approx(0.9916)
    assert len(side.categories) == 15 and side.notes[0].startswith("patchcore_code: Roth et al.")


def test_patchcore_inspection(tmp_path):
    (tmp_path / "results").mkdir()
    written(tmp_path / "results", "results.csv", PATCHCORE)
    side = read_side(str(tmp_path / "results"))
    assert figures(side) == {
        ("patchcore-inspection", "bottle", None, "image_auroc"): 1.0,
        ("patchcore-inspection", "bottle", None, "pixel_auroc"): 0.9848388278688711,
        ("patchcore-inspection", "metal_nut", None, "image_auroc"): 0.9990224828934506,
        ("patchcore-inspection", "metal_nut", None, "pixel_auroc"): 0.9834022508919757,
    }
    assert set(side.apart) == {"full_pro", "anomaly_pixel_auroc", "anomaly_pro"}
    assert side.categories == ("bottle", "metal_nut") and {row.subset for row in side.records} == {
        "full"
    }


@pytest.mark.parametrize("form", ["csv", "json"])
def test_anomalib(tmp_path, form):
    text = ANOMALIB
    if form == "json":
        head, *lines = (line.split(",") for line in ANOMALIB.splitlines())
        text = json.dumps([dict(zip(head, line, strict=True)) for line in lines])
    side = read_side(written(tmp_path, f"results.{form}", text))
    found = figures(side)
    assert (
        found["Patchcore", "bottle", 1, "image_auroc"] == 0.99
        and found["Padim", "bottle", 0, "au_pro"] == 0.91
    )
    assert found["Patchcore", "bottle", 0, "seconds_total"] == 31.5
    assert not any("f1" in row.metric for row in side.records)
    assert (
        "threshold chosen on the validation set" in side.apart["image_F1Score"]
        and "au_pro" in side.cautions
    )


def test_dinomaly_and_inp_former_take_the_last_evaluation(tmp_path):
    side = read_side(written(tmp_path, "log.txt", DINOMALY))
    found = figures(side)
    assert (
        len(found) == 14 and found["Dinomaly or INP-Former", "bottle", None, "pixel_ap"] == 0.8621
    )
    assert "above 0 after the resize" in side.cautions["pixel_f1_max"]


def test_ader_log_and_readme(tmp_path):
    found = figures(read_side(written(tmp_path, "log.txt", ADER_LOG)))
    assert len(found) == 14 and found["ADer", "grid", None, "image_auroc"] == pytest.approx(0.965)
    assert found["ADer", "bottle", None, "au_pro"] == pytest.approx(0.962)
    readme = written(tmp_path, "README.md", ADER_README)
    with pytest.raises(
        UsageError, match=r"2 of its tables fit ''; name one .*MVTec AD-100epochs, VisA-100epochs"
    ):
        read_side(readme)
    side = read_side(f"{readme}#mvtec ad")
    assert figures(side)["PatchCore, CVPR'22", None, None, "au_pro"] == pytest.approx(0.942)
    assert (
        side.apart == {"mAD": "a mean of seven metrics"}
        and "rounded to 0.1 points" in side.notes[-1]
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "x,y\n1,2\n", "no table of results that is known here"),
        ("a.csv", "", "no table of results that is known here"),
        ("a.csv", PATCHCORE.replace("1.0,", "102.5,"), "is neither a fraction nor a percentage"),
        ("a.csv", PATCHCORE.splitlines()[0] + "\nbottle,nan,nan,,,\n", "holds no number"),
        (
            "a.csv",
            PATCHCORE.replace("mvtec_metal_nut", "mvtec_bottle"),
            "two rows for patchcore-inspection on bottle",
        ),
        ("a.json", "{", "not JSON"),
        ("a.json", "[1, 2]", "not a list of records"),
        ("a.csv", "\0\0", "a.csv"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, name, text, message):
    with pytest.raises(ApcError, match=message) as caught:
        read_side(written(tmp_path, name, text))
    assert name in str(caught.value) and "\n" not in str(caught.value)


TWO = "Row Names,instance_auroc,full_pixel_auroc\n"
GERMAN = "Row Names;instance_auroc;full_pixel_auroc\r\nmvtec_tile;95,00;90,5\r\nMittelwert;95,00;90,5\r\n"


@pytest.mark.parametrize(
    "content",
    [
        GERMAN.encode("utf-8-sig"),
        GERMAN.replace(";", "\t").encode("utf-16"),
        b"sep=;\r\n" + GERMAN.encode(),
        GERMAN.replace(",", ".").replace(";", ",").encode(),
        GERMAN.replace("90,5", "90,5 %").encode(),
        GERMAN.replace(",00", "").replace(",5", ".5").encode(),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "A.CSV"])
def test_a_table_that_went_through_a_german_excel_has_the_same_figures(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    side = read_side(str(path))
    assert figures(side) == {
        ("patchcore-inspection", "tile", None, "image_auroc"): 0.95,
        ("patchcore-inspection", "tile", None, "pixel_auroc"): pytest.approx(0.905),
    }
    assert side.categories == ("tile",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", TWO + "tile,95,00,90,0\n", "line 2: 5 fields .* header has 3; a decimal comma"),
        ("a.csv", TWO + "grid,95,90\ntile,95\n", "line 3: 2 fields .* header has 3"),
        ("a.csv", TWO + "a;95,0,1\nb;94,0,1\n", "the rows are separated by semicolons"),
        ("a.csv", TWO + 'tile,"95,0",90\n', "line 2: instance_auroc is '95,0', which is not one"),
        ("a.csv", TWO + "tile,95.0,1.234.5\n", "line 2: full_pixel_auroc is '1.234.5'"),
        ("a.csv", TWO + "tile,95±0.1,90\n", "line 2: instance_auroc is '95±0.1'"),
        ("a.csv", TWO + "tile,95,90\ngrid,-3,90\n", "line 3: image_auroc of grid is -3, which is"),
        ("a.csv", TWO + "tile,95,90\ngrid,101,90\n", "line 3: image_auroc of grid is 101, which"),
        ("a.csv", TWO + "tile,95,90\ngrid,0.97,0.9\n", "line 3: image_auroc is 0.97 in a table of"),
        ("a.csv", TWO + "tile,95,0.9\n", "line 2: pixel_auroc is 0.9 in a table of percentages"),
        ("a.csv", TWO + "tile,95,90\n,94,91\n", "line 3: names no category"),
        ("a.csv", TWO.replace("full_pixel", "instance") + "tile,95,90\n", "two columns are called"),
        ("a.tsv", TWO.replace(",", ";") + "tile;95,5;90.5\n", "'95,5' has a decimal comma"),
        ("a.csv", TWO.replace(",", ";") + "tile;95,123;90\n", "may part decimals or thousands"),
        ("a.md", ADER_LOG.replace(" 98.900 ", "98,9 | 00"), "line 6: 10 cells, .* heading has 9"),
        ("log.txt", DINOMALY.replace("0.9696", "0,9696"), "line 4: '9696' is no figure"),
        ("a.json", '[{"image_AUROC": 0.9, "image_AUROC": 0.8}]', "'image_AUROC' is there twice"),
        ("a.json", '{"image_AUROC": [0.9, 0.8], "category": ["a"]}', "its columns have other rows"),
        ("a.json", '[{"category": "a", "image_AUROC": "high"}]', "record 1: image_AUROC is 'high'"),
        (
            "a.json",
            '[{"category": "a", "image_AUROC": 1}, {"category": "a", "image_AUROC": 0}]',
            "two",
        ),
    ],
)
def test_a_number_that_is_not_where_its_name_is_is_refused(tmp_path, name, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_side(written(tmp_path, name, text))
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_columns_of_json_belong_together_by_the_names_of_their_rows(tmp_path):
    text = '{"category": {"0": "a", "1": "b"}, "image_AUROC": {"1": 0.8, "0": 0.9}}'
    found = figures(read_side(written(tmp_path, "a.json", text)))
    assert found["anomalib", "a", None, "image_auroc"] == 0.9
    assert found["anomalib", "b", None, "image_auroc"] == 0.8


def test_a_mean_in_bold_is_a_mean_and_categories_keep_their_dots(tmp_path):
    text = "|Name|mAUROC_px|mAP_px|\n|-|-|-|\n|screw.v2|98.1|0.9|\n|01|96.1|7|\n|**Mean**|97.1|4|\n"
    side = read_side(written(tmp_path, "a.md", text))
    assert side.categories == ("screw.v2", "01")
    assert figures(side)["ADer", "screw.v2", None, "pixel_ap"] == pytest.approx(0.009)


def test_a_name_may_hold_the_sign_that_names_a_table(tmp_path):
    folder = tmp_path / "run #3#x"
    folder.mkdir()
    written(folder, "results.csv", PATCHCORE)
    written(folder, "a#b.md", ADER_README)
    assert read_side(str(folder)).categories == ("bottle", "metal_nut")
    assert read_side(str(folder / "results.csv")).categories == ("bottle", "metal_nut")
    assert figures(read_side(f"{folder / 'a#b.md'}#visa"))["RD, CVPR'22", None, None, "image_ap"]
    with pytest.raises(UsageError, match="no folder or file"):
        read_side(str(tmp_path / "run #4"))


def test_a_run_has_no_tables_to_name(small_run):
    with pytest.raises(UsageError, match="is a run folder, which has no table '#apc'"):
        read_side(f"{small_run}#apc")


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"a\.csv: not a text in UTF-8"):
        read_side(str(tmp_path / "a.csv"))
