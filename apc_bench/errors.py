"""The errors that a user can cause, and so can mend. Anything else that escapes is a bug and shows
its traceback.

ApcError            one line: what, where, got, do. Carries the exit code
├── UsageError      a wrong option, setting, job file or name
├── DataError       a dataset that is missing, malformed, unreadable, too small or leaking
├── WeightsError    weights that are missing, damaged, or of another network
├── RunError        a run folder that is of another sweep, in use, newer, or not a run folder
│   ├── DamagedFile one file of a run folder that does not verify
│   └── TakenOver   a later sweep holds the run folder that a worker wants to write into
├── StorageError    a write that failed (full disk, no permission): stops a sweep at once
├── ResourceError   a request that no machine at hand can meet
└── TrainingError   a training that diverged
"""

import difflib
from collections.abc import Iterable


class ApcError(Exception):
    """Base of all errors that are shown as one line; `exit_code` is the process's
    (docs/architecture.md, "Errors and exit codes").
    """

    exit_code = 2


class UsageError(ApcError):
    """A wrong option, setting, job file or name."""


class DataError(ApcError):
    """A dataset that is missing, malformed, unreadable, too small or leaking."""


class WeightsError(ApcError):
    """Weights that are missing, damaged, or of another network."""


class RunError(ApcError):
    """A run folder that belongs to another sweep, is in use, is newer than this version, or is no
    run folder.
    """


class DamagedFile(RunError):
    """One file of a run folder that does not verify; readers name it and go on without it."""


class TakenOver(RunError):
    """A worker whose driver is dead wants to write into a run folder that a later sweep holds."""


class StorageError(ApcError):
    """A write that failed: a full disk, a missing permission."""

    exit_code = 1


class ResourceError(ApcError):
    """A request for processors, GPUs or memory that no machine at hand can meet."""


class TrainingError(ApcError):
    """A training that diverged."""

    exit_code = 1


def listed(names: Iterable[str], limit: int = 8) -> str:
    """`a, b, c … and 5 more`: names for a message, shortened after `limit`."""
    names = list(names)
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} … and {len(names) - limit} more"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: what is known, and the nearest one."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{name}' (known: {', '.join(known)}){hint}"
