"""Why two runs may differ: code, versions, hardware, settings, data, weights, as run.json records
them (store/provenance.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from apc_bench.compare.record import Side
from apc_bench.errors import listed
from apc_bench.settings.sweep import run_of
from apc_bench.store.info import RunInfo, changed

MACHINE = ("processor", "cores", "gpus", "platform", "python")
_PLACES = ("synthetic", "only", "job", "categories", "seeds", "shots")
"""Settings that say what was run, not how: what exists only on one side is told apart from them."""


def why_they_differ(a: Side, b: Side) -> tuple[tuple[str, str], ...]:
    """(kind, what differs) of two runs; of a run and other figures, what is known of how those were
    made.
    """
    if a.is_run and b.is_run:
        return tuple(_runs(a.info, b.info))
    notes = []
    for side in (a, b):
        if not side.is_run:
            notes += [("source", note) for note in side.notes]
    return tuple(notes)


def _runs(a: RunInfo, b: RunInfo) -> Iterator[tuple[str, str]]:
    ours, theirs = a.revision(10), b.revision(10)
    dirty = ours.endswith("+") or theirs.endswith("+")
    if ours != theirs or dirty:
        note = "; +: with changes that no commit holds" if dirty else ""
        yield "code", f"{ours} against {theirs}{note}"
    diff = a.diff(b)
    machines = {name: diff.environment[name] for name in MACHINE if name in diff.environment}
    settings = changed(*_settings(a, b))
    differing = (("versions", diff.computing), ("hardware", machines), ("settings", settings))
    for kind, changes in differing:
        for name, (old, new) in sorted(changes.items()):
            yield kind, f"{name} {_written(old)} against {_written(new)}"
    if diff.fingerprints:
        yield "data", f"other files or contents in {listed(sorted(diff.fingerprints))}"
    if diff.left_out:
        yield "data", "other files were left out as unreadable"
    for method in sorted(diff.weights):
        origin_a, origin_b = a.weights[method].get("origin"), b.weights[method].get("origin")
        yield "weights", f"of {method}: {origin_a} against {origin_b}, of other content"


def _settings(a: RunInfo, b: RunInfo) -> list[dict[str, Any]]:
    """The settings of both as flat names, of the methods that both have run: a method of one side
    alone is told apart.
    """
    ran = [run_of(info.settings) for info in (a, b)]
    settings = []
    for info, own in zip((a, b), ran, strict=True):
        methods = {name: own[name] for name in ran[0].keys() & ran[1].keys()}
        settings.append(dict(_flat({**info.settings, "methods": methods})))
    return settings


def _written(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat(settings: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if not name and key in _PLACES:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value
