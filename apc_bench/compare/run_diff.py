"""Why two runs may differ: code, versions, hardware, settings, data, weights, as run.json records
them (store/provenance.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from apc_bench.compare.record import Side
from apc_bench.errors import listed
from apc_bench.store.info import RunInfo, changed

MACHINE = ("processor", "cores", "gpus", "platform", "python")
_PLACES = ("synthetic", "only", "job", "categories", "seeds", "shots")
"""Settings that say what was run, not how: what exists only on one side is told apart from them."""


def why(a: Side, b: Side) -> tuple[tuple[str, str], ...]:
    """(kind, what differs) of two runs; of a run and other figures, what is known of how those were
    made.
    """
    if a.kind != "run" or b.kind != "run":
        return tuple(
            ("source", note) for side in (a, b) if side.kind != "run" for note in side.notes
        )
    return tuple(_runs(a.info, b.info))


def _runs(a: RunInfo, b: RunInfo) -> Iterator[tuple[str, str]]:
    revisions = a.revision(10), b.revision(10)
    if revisions[0] != revisions[1] or revisions[0].endswith("+"):
        dirty = any(revision.endswith("+") for revision in revisions)
        note = "; +: with changes that no commit holds" if dirty else ""
        yield "code", f"{revisions[0]} against {revisions[1]}{note}"
    diff = a.diff(b)
    machines = {name: diff.environment[name] for name in MACHINE if name in diff.environment}
    yield from (("versions", line) for line in _lines(diff.computing))
    yield from (("hardware", line) for line in _lines(machines))
    yield from (("settings", line) for line in _lines(changed(*_settings(a, b))))
    if diff.fingerprints:
        yield "data", f"other files or contents in {listed(sorted(diff.fingerprints))}"
    if diff.left_out:
        yield "data", "other files were left out as unreadable"
    for method in sorted(diff.weights):
        origins = [side.weights[method].get("origin") for side in (a, b)]
        yield "weights", f"of {method}: {origins[0]} against {origins[1]}, of other content"


def _settings(a: RunInfo, b: RunInfo) -> list[dict[str, Any]]:
    """The settings of both as flat names, of the methods that both have: a method of one side alone
    is told apart.
    """
    methods = [side.settings.get("methods", {}) for side in (a, b)]
    shared = {*methods[0]} & {*methods[1]}
    whole = [
        {**side.settings, "methods": {name: own[name] for name in shared}}
        for side, own in zip((a, b), methods, strict=True)
    ]
    return [dict(_flat(settings)) for settings in whole]


def _lines(pairs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [f"{name} {_said(a)} against {_said(b)}" for name, (a, b) in sorted(pairs.items())]


def _said(value: Any) -> str:
    return (
        "none"
        if value is None or value == []
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )


def _flat(settings: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if not name and key in _PLACES:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value
