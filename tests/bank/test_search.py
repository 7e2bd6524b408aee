"""Whatever ranks, in int8 or float32, the search finds what brute force finds, ties included."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apc_bench.bank import search
from apc_bench.bank.flat import Flat
from apc_bench.bank.rankers import IntegerSpace, fast_integers
from apc_bench.bank.search import FloatRanker, Index, in_floats, in_integers

KINDS = ("cloud", "far from the origin", "outliers", "constant", "grid", "tiny", "queries far away")


def data(kind: str, generator: torch.Generator, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    vectors, queries = (
        torch.randn(70, width, generator=generator),
        torch.randn(30, width, generator=generator),
    )
    match kind:
        case "far from the origin":
            vectors, queries = vectors + 1000, queries + 1000
        case "outliers":
            vectors[:3] *= 1000
        case "constant":
            vectors = torch.ones_like(vectors)
        case "grid":
            vectors, queries = vectors.sign(), queries.sign()
        case "tiny":
            vectors, queries = vectors * 1e-12, queries * 1e-12
        case "queries far away":
            queries = queries * 1e4
        case "beyond float32":
            queries = queries * 1e20
    return vectors, queries


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(KINDS),
    st.sampled_from([1, 3]),
    st.sampled_from([2, 40, 600]),
    st.booleans(),
)
def test_every_ranking_finds_what_brute_force_finds(seed, kind, k, width, blocks):
    generator = torch.Generator().manual_seed(seed)
    vectors, queries = data(kind, generator, width)
    left_out = torch.rand(len(vectors), generator=generator) < 0.3
    left_out[:k] = False
    brute = ((queries.double()[:, None] - vectors.double()[None]) ** 2).sum(2)
    brute[:, left_out] = torch.inf
    expected = brute.sort(dim=1, stable=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "CANDIDATES", 1)  # however coarse, int8 must not hand over
        if blocks:
            patch.setattr(search, "BANK_ROWS", 11)
        ways = [in_floats(vectors)]
        if fast_integers(vectors.device):  # else their product may be wrong, and is not used
            ways.append(in_integers(vectors))
        for way in ways:
            index = Index(vectors)
            index.flat, index.ways = None, (way,)
            distance, found = index.nearest(queries, left_out, k)
            torch.testing.assert_close(distance, expected.values[:, :k], rtol=1e-12, atol=0)
            torch.testing.assert_close(brute.gather(1, found), distance, rtol=1e-12, atol=0)
            if kind == "grid":  # whole numbers: ties are ties
                assert torch.equal(found, expected.indices[:, :k])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([*KINDS, "beyond float32"]),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_a_ranking_by_faiss_gives_the_same_bits(seed, kind, k, few):
    generator = torch.Generator().manual_seed(seed)
    vectors, queries = data(kind, generator, 40)
    vectors = torch.cat([vectors, vectors[:9]])[: k + 2 if few else None]  # with ties
    left_out = torch.zeros(len(vectors), dtype=torch.bool)
    own, by_faiss = Index(vectors), Index(vectors)
    own.flat, by_faiss.flat = None, Flat(vectors)
    distance, found = own.nearest(queries, left_out, k)
    other, other_found = by_faiss.nearest(queries, left_out, k)
    assert torch.equal(distance, other)
    assert torch.equal(found, other_found)


def test_faiss_settles_what_is_clear_and_leaves_what_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(300, 16, generator=generator)
    vectors[20:40] = vectors[0]
    queries = torch.cat([vectors[:1], torch.randn(20, 16, generator=generator)])
    unsettled = Flat(vectors).nearest(queries, 1)[2]
    assert unsettled[0] and not unsettled[1:].any()


def test_float32_alone_settles_whatever_ties_there_are() -> None:
    """As on a GPU, and on a processor without instructions for integers: it was infinite."""
    vectors, queries = torch.ones(300, 16), torch.zeros(5, 16)
    index = Index(vectors)
    index.flat, index.ways = None, (in_floats(vectors),)
    distance, found = index.nearest(queries, torch.zeros(300, dtype=torch.bool), 2)
    assert (distance == 16).all()
    assert found.tolist() == [[0, 1]] * 5


def test_int8_hands_over_the_queries_that_it_is_too_coarse_for(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    vectors, queries = (torch.randn(count, 32, generator=generator) for count in (3200, 20))
    queries[7] *= 1e6  # clipped to the integers' range, it could be near to any vector
    ranked = []

    def rank(self, block, *given, _rank=FloatRanker.rank):
        if len(self) == len(vectors):
            ranked.append(len(block.factors))
        return _rank(self, block, *given)

    monkeypatch.setattr(FloatRanker, "rank", rank)
    index = Index(vectors)
    index.ways = (in_integers(vectors), in_floats(vectors))
    distance, _ = index.nearest(queries, torch.zeros(len(vectors), dtype=torch.bool), 1)
    brute = torch.cdist(queries.double(), vectors.double()).amin(1).square()
    torch.testing.assert_close(distance[:, 0], brute, rtol=1e-9, atol=0)
    assert sum(ranked) < len(queries), "the others were settled"
    assert sum(ranked) >= 1


def test_a_few_large_vectors_hardly_make_the_integers_coarser():
    vectors = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    plain = IntegerSpace(vectors).step
    vectors[:3] *= 100
    space = IntegerSpace(vectors)
    assert space.large[:3].all()
    assert space.step < 3 * plain


def test_many_far_queries_do_not_spoil_the_others():
    vectors, queries = torch.randn(300, 16), torch.randn(50, 16)
    queries[::2] *= 1e5
    whole, _ = Index(vectors).nearest(queries, torch.zeros(300, dtype=torch.bool), 1)
    alone = torch.cat(
        [
            Index(vectors).nearest(query[None], torch.zeros(300, dtype=torch.bool), 1)[0]
            for query in queries
        ]
    )
    assert torch.equal(whole, alone)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused(bad):
    vectors = torch.randn(4, 3)
    with pytest.raises(ValueError, match="not finite"):
        Index(vectors).nearest(torch.full((1, 3), bad), torch.zeros(4, dtype=torch.bool), 1)
    with pytest.raises(ValueError, match="not finite"):
        Index(vectors.index_fill(0, torch.tensor([2]), bad))


@pytest.mark.skipif(
    not torch.cpu._is_vnni_supported(),
    reason="this processor multiplies no integers in instructions of its own",
)
def test_integers_rank_only_where_their_product_is_right() -> None:
    """Held to older instructions, torch's product of int8 saturates: the search was wrong, and
    infinite where nothing was within its reach.
    """
    code = (
        "import torch\nfrom apc_bench.bank.search import Index\nvectors, queries = torch.rand(300,"
        " 64) * 3, torch.rand(160, 64) * 3\nfound, _ = Index(vectors).nearest(queries,"
        " torch.zeros(300, dtype=torch.bool), 1)\nassert torch.allclose(found[:, 0],"
        " torch.cdist(queries.double(), vectors.double()).square().amin(1)), found\n"
    )
    for limit in ("AVX2", "AVX512_CORE", "DEFAULT"):
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            check=True,
            capture_output=True,
            timeout=120,
        )
