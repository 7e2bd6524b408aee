"""Indexes of faiss: made from their factory's words, filled by one thread, searched by as many as
torch has. Loads no torch of its own accord.

A graph that several threads build is another one each time. Trainings draw with faiss' own fixed
seeds. So an index is the same, bit for bit, wherever it is filled with the same vectors.
"""

import re
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from apc_bench.errors import UsageError
from apc_bench.settings.search import FaissSearch

Vectors = NDArray[np.float32]


def make(search: FaissSearch, dimension: int) -> faiss.Index:
    """An empty index for vectors of so many values, with its parameters. Raises UsageError for what
    faiss cannot make.
    """
    if re.search(r"(IVF0|HNSW[01])(?!\d)", search.faiss):  # faiss makes them, and crashes
        raise UsageError(f"{_named(search)}: an index needs a list, and a graph two neighbours")
    try:
        index = faiss.index_factory(dimension, search.faiss, faiss.METRIC_L2)
        _quieten(index)
        if search.parameters:
            space = faiss.ParameterSpace()
            space.set_index_parameters(index, search.parameters)  # type: ignore[arg-type]
    except RuntimeError as error:
        raise UsageError(
            f"{_named(search)}: faiss makes no such index for vectors of {dimension} values"
            f" (target_dim): {_reason(error)}"
        ) from None
    return index


def check_size(search: FaissSearch, dimension: int, vectors: int) -> None:
    """Raises UsageError where the index has more lists than it would get vectors."""
    inverted = faiss.try_extract_index_ivf(make(search, dimension))
    if inverted is not None and inverted.nlist > vectors:
        raise UsageError(
            f"{_named(search)}: a memory bank of {vectors} vectors cannot be put into"
            f" {inverted.nlist} lists; name fewer, or search: exact"
        )


def filled(search: FaissSearch, vectors: Vectors) -> faiss.Index:
    """An index of vectors (n, d). Raises UsageError where they do not suffice."""
    check_size(search, vectors.shape[1], len(vectors))
    index = make(search, vectors.shape[1])
    faiss.omp_set_num_threads(1)
    try:
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
    except RuntimeError as error:
        raise UsageError(
            f"{_named(search)}: a memory bank of {len(vectors)} vectors cannot be put into it:"
            f" {_reason(error)}"
        ) from None
    return index


def found(index: faiss.Index, queries: Vectors, count: int, *, threads: int) -> NDArray[np.int64]:
    """Numbers (q, count) of vectors near the queries (q, d), -1 where it finds fewer."""
    faiss.omp_set_num_threads(threads)
    numbers: NDArray[np.int64] = index.search(queries, count)[1]
    return numbers


def _quieten(index: faiss.Index) -> None:
    """Without faiss' own warnings of few vectors, which go past the log: the recall is measured."""
    parts: list[Any] = [index]
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        parts.append(faiss.downcast_index(inverted))
    for trained in [*parts, *(getattr(part, "pq", None) for part in parts)]:
        if hasattr(trained, "cp"):
            trained.cp.min_points_per_centroid = 1


def _named(search: FaissSearch) -> str:
    parameters = f", parameters: '{search.parameters}'" if search.parameters else ""
    return f"search: {{faiss: '{search.faiss}'{parameters}}}"


def _reason(error: RuntimeError) -> str:
    """What faiss says, without its functions and files."""
    said = re.sub(r"^Error in .* at \S+\.(?:cpp|h):\d+: ", "", " ".join(str(error).split()))
    return re.sub(r"^Error: '.*?' failed: ", "", said) or "no reason given"
