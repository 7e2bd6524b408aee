"""What is to be known of a table or figure: definitions, or where it comes from."""

from collections.abc import Iterable, Iterator, Mapping

from apc_bench.report.fragment import facts_fragment


class Facts(Mapping[str, str]):
    """Texts by name, in order; Jupyter shows them as a list."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Of several texts under one name the later ones follow the first."""
        self._texts: dict[str, str] = {}
        for name, text in pairs:
            before = self._texts.get(name)
            self._texts[name] = text if before is None else f"{before}; {text}"

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self._texts.items())

    def _repr_html_(self) -> str:
        return facts_fragment(self)
