"""run.json as one frozen record: what a run is, what a resumed sweep adds to it, and how two runs
differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apc_bench.errors import RunError
from apc_bench.settings.detectors import DETECTORS
from apc_bench.settings.sweep import Sweep, run_of
from apc_bench.store.schemas import SCHEMA_VERSION

INFO = "run.json"

_TYPES: Mapping[str, type] = {
    "schema": int,
    "dataset": str,
    "data": str,
    "settings": dict,
    "fingerprints": dict,
    "weights": dict,
    "computing": dict,
    "environment": dict,
    "left_out": dict,
    "emptied": dict,
    "encodings": dict,
    "unused": dict,
    "created": str,
    "resumed": str,
}
"""The keys of run.json in the order of the file, with the type that JSON gives them."""


def is_run(path: Path) -> bool:
    """Whether the folder is a run: it has a run.json, in whatever state."""
    return (path / INFO).is_file()


@dataclass(frozen=True, slots=True)
class InfoDiff:
    """How a second run differs from a first.

    `computing`, `environment`: name -> (first, second), None where a run does not record it;
    `fingerprints`: categories of both whose content differs; `weights`: methods of both whose
    weights' content differs; `left_out`: whether other files were left out as unreadable.
    """

    computing: Mapping[str, tuple[Any, Any]]
    environment: Mapping[str, tuple[Any, Any]]
    fingerprints: tuple[str, ...]
    weights: tuple[str, ...]
    left_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What run.json records; a key that is absent or of another type reads as empty.

    `schema`: of the run folder's files. `data`: the dataset's folder. `settings`: those of the
    sweep (settings/sweep.py). `fingerprints`: category -> digest of its content. `weights`:
    method -> sha256, origin and backbone, and the package of a detector that is not our own.
    `computing`: what decides bits; `environment`: what is only recorded (store/provenance.py).
    `left_out`: category -> unreadable image -> reason. `emptied`: category -> images whose mask the
    resize emptied. `encodings`: category -> how its files are understood, where that is not plain
    (datasets/encoding.py). `unused`: category, or `.` for what lies beside them -> reason -> files
    that no trial uses. `created`, `resumed`: UTC in ISO 8601. `other`: keys that this version does
    not know, which stay. `absent`: known keys that the file lacks.
    """

    schema: int = SCHEMA_VERSION
    dataset: str = ""
    data: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    computing: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    emptied: Mapping[str, list[str]] = field(default_factory=dict)
    encodings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unused: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)
    created: str = ""
    resumed: str = ""
    other: Mapping[str, Any] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "RunInfo":
        """The record of a JSON object."""
        known = {
            name: values[name]
            for name, kind in _TYPES.items()
            if isinstance(values.get(name), kind)
        }
        absent = frozenset(_TYPES) - known.keys()
        if "data" in known:
            known["data"] = Path(known["data"])
        methods = known.get("settings", {}).get("methods")
        if isinstance(methods, dict):
            as_they_were = {name: _as_it_was(method) for name, method in methods.items()}
            known["settings"] = {**known["settings"], "methods": as_they_were}
        other = {name: value for name, value in values.items() if name not in _TYPES}
        return cls(**known, other=other, absent=absent)

    def as_json(self) -> dict[str, Any]:
        """The JSON object of run.json, without what was absent."""
        values = {name: getattr(self, name) for name in _TYPES if name not in self.absent}
        if self.data is not None:
            values["data"] = str(self.data)
        if not self.resumed:
            values.pop("resumed", None)
        return {**values, **self.other}

    @property
    def command(self) -> list[str]:
        """The words of the command that made the run; empty where they are not recorded."""
        words = self.other.get("command") or self.environment.get("command") or []
        return [str(word) for word in words]

    def revision(self, digits: int = 7) -> str:
        """`abc1234` of the code, with `+` where files were changed; `version 0.1.0` where the
        package was installed.
        """
        git = self.environment.get("git")
        if not isinstance(git, Mapping) or not git.get("commit"):
            return f"version {self.environment.get('apc_bench', '?')}"
        changed = "+" if git.get("dirty") else ""
        return f"{str(git['commit'])[:digits]}{changed}"

    def diff(self, other: "RunInfo") -> InfoDiff:
        """How `other` differs from this run, in the order of this run's entries."""
        weights = tuple(
            method
            for method, own in self.weights.items()
            if method in other.weights and own.get("sha256") != other.weights[method].get("sha256")
        )
        return InfoDiff(
            changed(self.computing, other.computing),
            changed(self.environment, other.environment),
            tuple(
                category
                for category, content in self.fingerprints.items()
                if other.fingerprints.get(category, content) != content
            ),
            weights,
            _files(self.left_out) != _files(other.left_out),
        )

    def merge(self, new: "RunInfo", path: Path) -> "RunInfo":
        """This run with the seeds, shots, categories and methods that a sweep `new` adds to it.

        Raises RunError that lists what else differs, for the run folder `path`.
        """
        before, after = _normal(self.settings), _normal(new.settings)
        if conflicts := self._conflicts(new, before, after):
            raise RunError(
                f"{path} belongs to a sweep with other settings:"
                f" {'; '.join(dict.fromkeys(conflicts))}; name another --run"
            )
        return replace(
            new,
            settings=_united(before, after),
            fingerprints={**self.fingerprints, **new.fingerprints},
            weights={**self.weights, **new.weights},
            left_out={**self.left_out, **new.left_out},
            emptied={**self.emptied, **new.emptied},
            encodings={**self.encodings, **new.encodings},
            unused={**self._still_unused(new), **new.unused},
            created=self.created,
            resumed=new.created,
            other={**self.other, **new.other},
        )

    def _still_unused(self, new: "RunInfo") -> dict[str, Mapping[str, list[str]]]:
        """What no trial used of the categories that a sweep `new` does not look at."""
        return {
            place: reasons
            for place, reasons in self.unused.items()
            if place in self.fingerprints and place not in new.fingerprints
        }

    def _conflicts(
        self, new: "RunInfo", before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> list[str]:
        fixed = {
            **Sweep.model_validate(before).fixed(),
            **Sweep.model_validate(after).fixed(),
        }
        lines = [
            f"{name} was {before.get(name)!r}, now {after.get(name)!r}"
            for name in fixed
            if name != "synthetic" and before.get(name) != after.get(name)
        ]
        diff = self.diff(new)
        lines += [
            f"{name} was {was!r}, now {now!r}"
            for name, (was, now) in diff.computing.items()
            if name in self.computing
        ]
        for name, method in after["methods"].items():
            known = before["methods"].get(name)
            if known is not None and _identity(known) != _identity(method):
                lines.append(f"method '{name}' has other settings")
        lines += [f"method '{name}' has other weights" for name in diff.weights]
        lines += [f"the content of category '{name}' changed" for name in diff.fingerprints]
        return lines


def changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> (first, second) where two mappings differ, None for what one lacks; in the order of
    the first.
    """
    pairs = {name: (first.get(name), second.get(name)) for name in {**first, **second}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _files(left_out: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    return {category: sorted(files) for category, files in left_out.items() if files}


def _as_it_was(method: Any) -> Any:
    """A recorded method, with what was implied of its detector before it was a setting; another
    package's, and what is no method, as it is.
    """
    recorded = method.get("settings") if isinstance(method, dict) else None
    if not isinstance(recorded, dict) or method.get("detector") not in DETECTORS:
        return method
    own_class = DETECTORS[method["detector"]]
    implied = {
        name: value
        for name, value in own_class.implied.items()
        if not {name, own_class.former_names.get(name)} & recorded.keys()
    }
    return {**method, "settings": {**recorded, **implied}}


def _normal(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as this version writes them, whatever version wrote them."""
    return Sweep.model_validate(settings).model_dump(mode="json")


def _united(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The later sweep's settings, with seeds, shots, categories and methods of both."""
    both = before["categories"], after["categories"]
    methods = {**before["methods"], **after["methods"]}
    ran = run_of(before).keys() | run_of(after).keys()
    return {
        **after,
        "methods": methods,
        "seeds": sorted({*before["seeds"], *after["seeds"]}),
        "shots": sorted({*before["shots"], *after["shots"]}),
        "categories": sorted({*both[0], *both[1]}) if all(both) else None,
        "only": None if ran >= methods.keys() else [name for name in methods if name in ran],
    }


def _identity(method: Mapping[str, Any]) -> list[Any]:
    return [method["detector"], method["backbone"], method["settings"]]
