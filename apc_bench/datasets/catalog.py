"""Known datasets: where each comes from, under which licence, and what a real download must hold
(docs/method.md section 7).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apc_bench.datasets import converting
from apc_bench.datasets.counts import PUBLISHED, Expected, counts_of
from apc_bench.datasets.samples import Dataset

MVTEC_AD = "mvtec_ad"


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset of the catalog. `url`: None where it must be fetched by hand, from `page`. `size`:
    of the archive in bytes, about, for messages; None where it is not known. `sha256`: None where
    none is published: the sum of the first import is recorded then. `convert`: from the unpacked
    archive to the layout that mvtec.py reads. `note`: what a user must know of the conversion.
    """

    name: str
    title: str
    licence: str
    archive: str
    page: str
    convert: Callable[[Path, Path], None]
    expected: Expected
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    note: str = ""


_MVTEC_SHARES = "https://www.mydrive.ch/shares/"


def _visa(name: str, title: str, split: str, expected: Expected, note: str = "") -> KnownDataset:
    return KnownDataset(
        name=name,
        title=title,
        licence="CC BY 4.0",
        archive="VisA_20220922.tar",
        page="https://github.com/amazon-science/spot-diff",
        convert=partial(converting.visa, split=split),
        expected=expected,
        url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        size=1_900_000_000,
        sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        note=note,
    )


_POOL = (
    "its training anomalies are the pool that shots are drawn from; the official test set is tested"
    " for all shots"
)
CATALOG: Mapping[str, KnownDataset] = {
    known.name: known
    for known in (
        KnownDataset(
            name=MVTEC_AD,
            title="MVTec AD",
            licence="CC BY-NC-SA 4.0 (non-commercial)",
            archive="mvtec_anomaly_detection.tar.xz",
            page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
            convert=converting.mvtec_layout,
            expected=Expected(PUBLISHED[MVTEC_AD]),
            url=f"{_MVTEC_SHARES}150996/b52ecdcbf521176e9db9c731f2304b27/download/"
            "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            size=4_900_000_000,
            sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        ),
        _visa(
            "visa",
            "VisA, one-class",
            "1cls",
            Expected(sums={"categories": 12, "normal": 9621, "anomalous": 1200}),
        ),
        _visa(
            "visa_2cls_highshot",
            "VisA, two-class, high-shot",
            "2cls_highshot",
            Expected(sums={"categories": 12}),
            _POOL,
        ),
        _visa(
            "visa_2cls_fewshot",
            "VisA, two-class, few-shot",
            "2cls_fewshot",
            Expected(sums={"categories": 12}),
            _POOL,
        ),
        KnownDataset(
            name="mvtec_loco",
            title="MVTec LOCO",
            licence="CC BY-NC-SA 4.0 (non-commercial)",
            archive="mvtec_loco_anomaly_detection.tar.xz",
            page="https://www.mvtec.com/company/research/datasets/mvtec-loco",
            convert=converting.loco,
            expected=Expected(sums={"categories": 5}),
            size=5_700_000_000,
            sha256="9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
            note=(
                "an image's several masks are united, which is not sPRO, its own metric; its"
                " validation images are left aside, since methods learn from train alone"
            ),
        ),
        KnownDataset(
            name="btad",
            title="BTAD",
            licence="CC BY-SA by its own README, CC BY-NC-SA 4.0 by others: ask its authors before"
            " commercial use",
            archive="btad.zip",
            page="https://avires.dimi.uniud.it/papers/btad/",
            convert=converting.btad,
            expected=Expected(PUBLISHED["btad"]),
            url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
            sha256="461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
        ),
        KnownDataset(
            name="mpdd",
            title="MPDD",
            licence="CC BY-NC-SA 4.0 (non-commercial)",
            archive="MPDD.zip",
            page="https://github.com/stepanje/MPDD",
            convert=converting.mvtec_layout,
            expected=Expected(sums={"normal training": 888, "normal test": 176, "anomalous": 282}),
        ),
        KnownDataset(
            name="mtd",
            title="Magnetic Tile Defects",
            licence=(
                "none stated; its authors welcome use with a citation (Huang, Qiu, Yuan, The Visual"
                " Computer, 2020)"
            ),
            archive="Magnetic-tile-defect-datasets.-master.zip",
            page="https://github.com/abin24/Magnetic-tile-defect-datasets.",
            convert=converting.mtd,
            expected=Expected(),
            note=(
                "no official split: 80 % of the normal photos train, chosen by a hash of their"
                " names; tiles are not grouped (add a groups.csv)"
            ),
        ),
    )
}


def is_mvtec_ad(dataset: Dataset) -> bool:
    """Whether every category of the folder has MVTec AD's name and its exact counts."""
    return all(
        PUBLISHED[MVTEC_AD].get(category.name) == counts_of(category)
        for category in dataset.categories
    )
