"""A sweep that searches approximately: exact keys stay, what cannot be is said before the start,
and the recall stands under the tables.
"""

import json
from pathlib import Path

import pytest
from support import apc_bench, make_category

from apc_bench.metrics.search_recall import SearchRecall
from apc_bench.results.reading import read_results
from apc_bench.settings.sweep import make_sweep
from apc_bench.store.run import Run
from apc_bench.tables import footnotes

POSTER_NOTES = (*footnotes.OF_SYSTEMS, *footnotes.STATE)

SETTINGS = {"pretrain_dim": 64, "target_dim": 64, "coreset_ratio": 1.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("approximate")
    make_category(place / "data", "part", size=64, train=6, good=4, defects=4)
    return place / "data"


def swept(data: Path, place: Path, *more: str, code: int = 0, **searches: object) -> str:
    job = {"image_size": 64, "reserve": 2, "shots": [1], "seeds": [0], "methods": {}}
    for name, search in searches.items():
        settings = SETTINGS if search is None else {**SETTINGS, "search": search}
        job["methods"][name] = {"backbone": "builtin", "settings": settings}
    place.mkdir(exist_ok=True)
    (place / "job.yaml").write_text(json.dumps(job))
    sweep = ["sweep", "--job", place / "job.yaml", "--data", data, "--device", "cpu", *more]
    places = ("--no-page", "--run", place / "run", "--executor", "serial")
    return apc_bench(*sweep, *places, code=code).output


def test_the_recall_is_kept_and_stands_under_the_tables(data: Path, tmp_path: Path) -> None:
    swept(data, tmp_path, exact="exact", lists={"faiss": "IVF16,Flat"})
    run = Run.open(tmp_path / "run")
    notes = {
        row["method"]: row["notes"] for row in run.metrics().to_dicts() if row["subset"] == "test"
    }
    assert notes["exact"] == []
    (recall,) = map(SearchRecall.of_note, notes["lists"])
    assert recall is not None and recall.search == "faiss IVF16,Flat"
    assert 0 <= recall.found <= recall.sampled and recall.sampled >= 10
    told = [str(note) for note in footnotes.notes(read_results(run), POSTER_NOTES)]
    words = f"lists: faiss IVF16,Flat; it found the nearest bank vector of {recall.percent}"
    assert len([note for note in told if words in note]) == 1
    assert not any("approximate search (" in note for note in told)
    plan = {row["method"]: row for row in run.plan().to_dicts()}
    assert plan["exact"]["result_key"] != plan["lists"]["result_key"]


def test_exact_is_no_part_of_the_identity_and_an_index_is() -> None:
    def identity(**settings: object) -> dict[str, object]:
        method = {"backbone": "builtin", "settings": settings}
        made = make_sweep({"methods": {"a": method}}, source="test").methods["a"]
        return {**made.identity()["settings"], "libraries": made.libraries}

    assert identity() == identity(search="exact")
    assert "search" not in identity() and identity()["libraries"] == {}
    found = identity(search={"faiss": "HNSW32"})
    assert found["search"] == {"faiss": "HNSW32", "parameters": None}
    assert list(found["libraries"]) == ["faiss-cpu"]


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("fast", "must be exact, or an index of faiss"),
        ({"fiass": "HNSW32"}, "must be exact, or an index of faiss"),
        ({"faiss": "HNSW32", "probes": 3}, "unknown setting 'probes'"),
        ({"faiss": 32}, "faiss must be text"),
        ({"faiss": "HNWS32"}, "method 'a': search: {faiss: 'HNWS32'}: faiss makes no such index"),
        ({"faiss": "PQ7"}, "should be a multiple of the number of subquantizers"),
        ({"faiss": "IVF4,Flat", "parameters": "probes=3"}, "could not set parameter probes"),
    ],
)
def test_what_cannot_be_is_said_before_the_start(data, tmp_path, search, words) -> None:
    told = swept(data, tmp_path, code=2, a=search)
    assert words in told
    assert not (tmp_path / "run").exists()


def test_a_bank_of_fewer_vectors_than_lists_fails_its_step_in_a_line(data, tmp_path) -> None:
    told = swept(data, tmp_path, code=1, a={"faiss": "IVF4096,Flat"})
    assert "cannot be put into 4096 lists; name fewer, or search: exact" in told
    assert "Traceback" not in told
