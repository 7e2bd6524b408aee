"""What a cross-fitted run answers, in words."""

from apc_bench.results.aggregate import System
from apc_bench.results.crossfit import CrossFitSummary, Detections, Photo
from apc_bench.tables.crossfit_summary import sentences

SYSTEMS = [
    System("patchcore", 0, "PatchCore", "patchcore", "builtin", (0,)),
    System("apc", 8, "APC", "apc", "builtin", (0,)),
]


def answer_of(
    before: list[float], after: list[float], kinds: list[str], undefined: str | None = None
) -> CrossFitSummary:
    def finds(system: System, found: list[float]) -> Detections:
        photos = [
            Photo(f"bad/{kind}/{n}.png", f"g{n}", kind, share, share)
            for n, (share, kind) in enumerate(zip(found, kinds, strict=True))
        ]
        return Detections(system, photos, 0.04, undefined)

    return CrossFitSummary(
        "bracket", 8, [finds(SYSTEMS[0], before), finds(SYSTEMS[1], after)], 0.05
    )


def test_what_is_beyond_chance_is_said_and_what_to_photograph_next():
    kinds = ["dent"] * 5 + ["scratch"] * 5
    lines = sentences(answer_of([0] * 10, [1] * 7 + [0, 0, 0.5], kinds))
    assert lines[0].startswith(
        "bracket: with your 10 defect photos (8 at a time to learn from) APC finds 75 of 100"
        " defects"
    )
    assert (
        "at 5 % false alarms, PatchCore 0 (95 % interval 0 to 28); the difference, +75 ("
        in lines[0]
    )
    assert lines[0].endswith("is beyond chance (p = 0.0078).")
    assert (
        lines[1] == "False alarms on the normal photos that were set apart: PatchCore 4 %, APC 4 %."
    )
    assert lines[2] == "Photograph next, by what APC misses most: scratch (50 % of 5 missed)."
    assert "bad/scratch/7.png, bad/scratch/8.png" in lines[3]


def test_too_few_defects_a_missing_threshold_and_nothing_missed_are_said():
    assert (
        "4 defects cannot show any difference beyond chance; 6 can"
        in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[2]
    )
    assert "misses none of them" in sentences(answer_of([0] * 4, [1] * 4, ["dent"] * 4))[-1]
    (line,) = sentences(
        answer_of(
            [0] * 9,
            [1] * 9,
            ["dent"] * 9,
            undefined="10 calibration images cannot promise 5 % false alarms",
        )
    )
    assert (
        "there is no threshold: 10 calibration images cannot promise 5 % false alarms. Add normal"
        " photos." in line
    )
