"""Small archives with the layouts in which datasets are published."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

GENERATOR = np.random.default_rng(0)


def photo(path: Path, *, size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GENERATOR.integers(0, 256, (size, size, 3), np.uint8)).save(path)


def mask(path: Path, *, value: int = 255, size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size, size), np.uint8)
    pixels[4:12, 6:14] = value
    Image.fromarray(pixels).save(path)


def mvtec(root: Path) -> None:
    for name, kinds in (("bottle", ("broken", "dirt")), ("grid", ("bent",))):
        for n in range(6):
            photo(root / name / f"train/good/{n:03}.png")
        for n in range(3):
            photo(root / name / f"test/good/{n:03}.png")
            for kind in kinds:
                photo(root / name / f"test/{kind}/{n:03}.png")
                mask(root / name / f"ground_truth/{kind}/{n:03}_mask.png")
        (root / name / "license.txt").write_text("CC")
    (root / "readme.txt").write_text("hello")


def mpdd(root: Path) -> None:
    mvtec(root / "MPDD")


def loco(root: Path) -> None:
    for n in range(6):
        photo(root / f"breakfast_box/train/good/{n:03}.png")
    for n in range(3):
        photo(root / f"breakfast_box/validation/good/{n:03}.png")
        photo(root / f"breakfast_box/test/good/{n:03}.png")
        for kind in ("logical_anomalies", "structural_anomalies"):
            photo(root / f"breakfast_box/test/{kind}/{n:03}.png")
            for part in range(2):
                mask(
                    root / f"breakfast_box/ground_truth/{kind}/{n:03}/{part:03}.png",
                    value=252 + part,
                )
    (root / "breakfast_box/defects_config.json").write_text("[]")


def btad(root: Path) -> None:
    for name, ending in (("01", "bmp"), ("02", "png")):
        place = root / "BTech_Dataset_transformed" / name
        for n in range(6):
            photo(place / f"train/ok/{n:04}.{ending}")
        for n in range(3):
            photo(place / f"test/ok/{n:04}.{ending}")
            photo(place / f"test/ko/{n:04}.{ending}")
            mask(place / f"ground_truth/ko/{n:04}.png")


def visa(root: Path) -> None:
    tables: dict[str, list[str]] = {name: [] for name in ("1cls", "2cls_highshot", "2cls_fewshot")}
    for name in ("candle", "pcb1"):
        for n in range(9):
            photo(root / f"{name}/Data/Images/Normal/{n:04}.JPG")
            for table in tables.values():
                table.append(
                    f"{name},{'train' if n < 6 else 'test'},normal,{name}/Data/Images/Normal/{n:04}.JPG,"
                )
        for n in range(6):
            photo(root / f"{name}/Data/Images/Anomaly/{n:03}.JPG")
            mask(root / f"{name}/Data/Masks/Anomaly/{n:03}.png", value=1 + n % 3)
            for split, table in tables.items():
                part = (
                    "train"
                    if n < {"1cls": 0, "2cls_highshot": 3, "2cls_fewshot": 2}[split]
                    else "test"
                )
                table.append(
                    f"{name},{part},anomaly,{name}/Data/Images/Anomaly/{n:03}.JPG,{name}/Data/Masks/Anomaly/{n:03}.png"
                )
    (root / "split_csv").mkdir()
    for split, table in tables.items():
        (root / f"split_csv/{split}.csv").write_text(
            "object,split,label,image,mask\n" + "\n".join(table) + "\n"
        )


def mtd(root: Path) -> None:
    place = root / "Magnetic-tile-defect-datasets.-master"
    for kind, count in (("Free", 10), ("Crack", 4), ("Blowhole", 3)):
        for n in range(count):
            photo(place / f"MT_{kind}/Imgs/exp{n}_num_{n}{len(kind)}.jpg")
            mask(
                place / f"MT_{kind}/Imgs/exp{n}_num_{n}{len(kind)}.png",
                value=0 if kind == "Free" else 255,
            )


LAYOUTS = {
    "mvtec_ad": mvtec,
    "visa": visa,
    "visa_2cls_highshot": visa,
    "visa_2cls_fewshot": visa,
    "mvtec_loco": loco,
    "btad": btad,
    "mpdd": mpdd,
    "mtd": mtd,
}


def packed(name: str, archive: str, place: Path) -> Path:
    """The dataset's small archive, of the kind that its file name says."""
    root = place / f"tree of {name}"
    root.mkdir(parents=True)
    LAYOUTS[name](root)
    path = place / archive
    if archive.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as file:
            for member in sorted(root.rglob("*")):
                file.write(member, member.relative_to(root))
    else:
        with tarfile.open(path, "w:xz" if archive.endswith("xz") else "w") as tar:
            tar.add(root, arcname="." if name != "visa" else "")
    return path
