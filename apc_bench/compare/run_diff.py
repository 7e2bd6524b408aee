"""Why two runs may differ: code, versions, hardware, settings, data, weights, as run.json records
them (store/provenance.py).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from apc_bench.compare.record import Side
from apc_bench.errors import listed

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


def _runs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if (revisions := (_revision(a), _revision(b)))[0] != revisions[1] or revisions[0].endswith("+"):
        yield (
            "code",
            f"{revisions[0]} against {revisions[1]}"
            + "; +: with changes that no commit holds" * any("+" in one for one in revisions),
        )
    yield from (
        ("versions", line) for line in _changed(a.get("computing", {}), b.get("computing", {}))
    )
    machines = [
        {name: side.get("environment", {}).get(name) for name in MACHINE} for side in (a, b)
    ]
    yield from (("hardware", line) for line in _changed(*machines))
    yield from (("settings", line) for line in _changed(*_settings(a, b)))
    yield from _data(a, b)
    weights = a.get("weights", {}), b.get("weights", {})
    for method in sorted({*weights[0]} & {*weights[1]}):
        if weights[0][method].get("sha256") != weights[1][method].get("sha256"):
            yield (
                "weights",
                (
                    f"of {method}: {weights[0][method].get('origin')} against"
                    f" {weights[1][method].get('origin')}, of other content"
                ),
            )


def _data(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    prints = a.get("fingerprints", {}), b.get("fingerprints", {})
    other = [
        name for name in sorted({*prints[0]} & {*prints[1]}) if prints[0][name] != prints[1][name]
    ]
    if other:
        yield "data", f"other files or contents in {listed(other)}"
    left_out = [
        {name: sorted(files) for name, files in side.get("left_out", {}).items() if files}
        for side in (a, b)
    ]
    if left_out[0] != left_out[1]:
        yield "data", "other files were left out as unreadable"


def _settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of both as flat names, of the methods that both have: a method of one side alone
    is told apart.
    """
    methods = [side.get("settings", {}).get("methods", {}) for side in (a, b)]
    shared = {*methods[0]} & {*methods[1]}
    whole = [
        {**side.get("settings", {}), "methods": {name: own[name] for name in shared}}
        for side, own in zip((a, b), methods, strict=True)
    ]
    return [dict(_flat(settings)) for settings in whole]


def _revision(info: Mapping[str, Any]) -> str:
    environment = info.get("environment", {})
    git = environment.get("git")
    if not isinstance(git, Mapping) or not git.get("commit"):
        return f"version {environment.get('apc_bench', '?')}"
    return str(git["commit"])[:10] + "+" * bool(git.get("dirty"))


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {_said(a.get(name))} against {_said(b.get(name))}"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name)
    ]


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
