"""An approximate search misses some neighbours, says how many, and is exact in all it finds."""

import hashlib
import subprocess
import sys

import pytest
import torch

from apc_bench.bank.memory_bank import MemoryBank, reweight
from apc_bench.errors import UsageError
from apc_bench.settings.search import FaissSearch

INDEXES = [("HNSW8", None), ("IVF16,Flat", "nprobe=2"), ("PQ8x4", None), ("PCA8,IVF8,SQ8", None)]


def bank_of(vectors: torch.Tensor, search: FaissSearch | None) -> MemoryBank:
    number = torch.arange(len(vectors))
    places = (number.int(), number.short(), number.short())
    return MemoryBank(vectors, *places, (number % 3).int(), search)


def cloud() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(600, 24, generator=generator) + 10,
        torch.randn(500, 24, generator=generator) + 10,
    )


def brute(queries: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    return ((queries.double()[:, None] - vectors.double()[None]) ** 2).sum(2)


@pytest.mark.parametrize(("index", "parameters"), INDEXES)
@pytest.mark.parametrize("group", [None, 2])
def test_what_is_found_is_at_its_exact_distance(index, parameters, group) -> None:
    vectors, queries = cloud()
    bank = bank_of(vectors, FaissSearch(faiss=index, parameters=parameters))
    found = bank.nearest(queries, exclude_group=group)
    distances = brute(queries, vectors)
    torch.testing.assert_close(
        found.distance.double(), distances.gather(1, found.index), rtol=1e-6, atol=0
    )
    if group is not None:
        distances[:, bank.group == group] = torch.inf
    right = found.index[:, 0] == distances.argmin(1)
    exact = bank_of(vectors, None).nearest(queries, exclude_group=group)
    assert torch.equal(found.distance[right], exact.distance[right])
    assert (found.distance >= exact.distance).all()
    assert 0.1 < right.double().mean() <= 1


def test_the_recall_is_that_of_a_sample_of_the_queries() -> None:
    vectors, queries = cloud()
    bank = bank_of(vectors, FaissSearch(faiss="IVF16,Flat"))
    found = bank.nearest(queries.repeat(20, 1))
    right = (found.index[:, 0] == brute(queries, vectors).argmin(1).repeat(20)).double().mean()
    recall = bank.recall
    assert recall is not None and recall.sampled == -(-len(queries) * 20 // 64)
    assert 0.05 < right < 0.95
    assert abs(recall.found / recall.sampled - right) < 4 * (0.25 / recall.sampled) ** 0.5
    assert bank_of(vectors, None).recall is None


def test_where_faiss_finds_too_few_the_search_is_exact() -> None:
    vectors, queries = cloud()
    vectors[1::3] += 500  # a list of a group's own
    bank = bank_of(vectors, FaissSearch(faiss="IVF2,Flat"))
    found = bank.nearest(queries + 500, exclude_group=1, k=2)
    exact = bank_of(vectors, None).nearest(queries + 500, exclude_group=1, k=2)
    assert torch.equal(found.distance, exact.distance)
    assert torch.equal(found.index, exact.index)


def test_farthest_and_reweighting_are_those_of_the_exact_search_where_all_is_found() -> None:
    vectors, queries = cloud()
    exact, flat = bank_of(vectors, None), bank_of(vectors, FaissSearch(faiss="Flat"))
    positions, near = flat.farthest(queries, exclude_group=1)
    worst = near.distance[:, 0].argmax()
    distances = exact.nearest(queries, exclude_group=1).distance[:, 0]
    assert int(positions[worst]) == int(distances.argmax())
    nearest = exact.nearest(queries)
    given = (nearest.distance[:, 0], queries, nearest.index[:, 0])
    assert torch.equal(reweight(*given, flat), reweight(*given, exact))


def test_another_process_with_more_threads_finds_the_same() -> None:
    code = """
import sys, hashlib, torch
sys.path.insert(0, "tests")
from bank.test_approximate import INDEXES, bank_of, cloud
from apc_bench.settings.search import FaissSearch
torch.set_num_threads(2)
vectors, queries = cloud()
for index, parameters in INDEXES:
    found = bank_of(vectors, FaissSearch(faiss=index, parameters=parameters)).nearest(queries)
    print(hashlib.sha256(found.index.numpy().tobytes()).hexdigest())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    vectors, queries = cloud()
    here = []
    for index, parameters in INDEXES:
        bank = bank_of(vectors, FaissSearch(faiss=index, parameters=parameters))
        found = bank.nearest(queries).index.numpy()
        here.append(hashlib.sha256(found.tobytes()).hexdigest())
    assert ran.stdout.split() == here


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("IVF1024,Flat", "a memory bank of 600 vectors cannot be put into 1024 lists"),
        ("PQ16x10", "multiple of the number of subquantizers"),
        ("PQ8x10", "Number of training points \\(600\\) should be at least as large"),
        ("Nonsense", "could not parse index string Nonsense"),
        ("HNSW1", "a graph two neighbours"),
        ("IVF0,Flat", "an index needs a list"),
        ("IDMap,Flat", "add does not make sense"),
    ],
)
def test_an_index_that_cannot_be_made_is_said_with_the_setting(index: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"^search: {{faiss: '{index}'}}: .*{words}"):
        bank_of(cloud()[0], FaissSearch(faiss=index))
