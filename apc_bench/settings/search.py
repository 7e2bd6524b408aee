"""How the nearest vectors of a memory bank are found: exactly, or by an index of faiss."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from apc_bench.errors import unknown
from apc_bench.settings.base import Frozen

EXACT: Literal["exact"] = "exact"


class FaissSearch(Frozen):
    """An approximate search, for banks beyond what an exact one bears."""

    faiss: str = Field(min_length=1, max_length=200)
    """The index, as faiss' index_factory names it: HNSW32, or 'IVF1024,Flat'."""
    parameters: str | None = Field(None, max_length=200)
    """Of its search, as faiss' ParameterSpace reads them: nprobe=16; null: faiss' defaults."""

    def __str__(self) -> str:
        return f"faiss {self.faiss}" + (f", {self.parameters}" if self.parameters else "")


def _as_search(value: Any) -> Any:
    """Plain words for what is neither of the two."""
    if value == EXACT or isinstance(value, FaissSearch):
        return value
    if not isinstance(value, dict) or "faiss" not in value:
        raise ValueError(f"must be exact, or an index of faiss: {{faiss: HNSW32}} (got {value!r})")
    for name, given in value.items():
        if name not in FaissSearch.model_fields:
            raise ValueError(unknown("setting", str(name), FaissSearch.model_fields))
        if not isinstance(given, str) and (given is not None or name == "faiss"):
            raise ValueError(f"{name} must be text (got {given!r})")
        if given is not None and not 1 <= len(given) <= 200:
            raise ValueError(f"{name} must be text of 1 to 200 characters")
    return FaissSearch(**value)


Search = Annotated[Literal["exact"] | FaissSearch, BeforeValidator(_as_search)]
