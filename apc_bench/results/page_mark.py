"""The file beside a report's page that says what drew it, and whether the page is still what would
be drawn.
"""

from collections.abc import Iterator
from pathlib import Path

from apc_bench import __version__
from apc_bench.store import attempts
from apc_bench.store.provenance import git_revision
from apc_bench.store.run import Run

MARK = ".apc-bench-report"
INDEX = "index.html"
_MADE_BY = "made by apc-bench "


def mark_of(data: Path | None) -> str:
    """What tells a report's folder, and what else than its run the report was made of."""
    images = "without images" if data is None else f"with the images of {data.absolute()}"
    return f"{_MADE_BY}{drawn_by()} {images}; replaced as a whole by the next report\n"


def page_since(run: Path, data: Path | None, moment: int) -> Path | None:
    """The page of a run's report, where this version made it with the images of `data`, after a
    moment (nanoseconds since 1970); None where it did not, or there is none.
    """
    mark, page = run / "report" / MARK, run / "report" / INDEX
    try:
        same = mark.read_text(encoding="utf-8") == mark_of(data)
        return page if same and mark.stat().st_mtime_ns > moment and page.is_file() else None
    except (OSError, UnicodeDecodeError):
        return None


def current_page(run: Run, data: Path | None) -> Path | None:
    """The page of a run's report, where it is as a new one would be, with the images of `data`."""
    return page_since(run.path, data, _last_written(run))


def _last_written(run: Run) -> int:
    """When a step of the run last started or ended, or one was planned; nanoseconds since 1970."""
    return max(attempts.last_written(run.attempts_folder), run.planned.last_written())


def outdated(run: Run) -> str | None:
    """How the page of the run's report is not what would be drawn now, in words; None where it is,
    or there is none.
    """
    reasons = list(_reasons(run))
    if not reasons:
        return None
    return f"{' and '.join(reasons)}: `apc-bench report {run.path}` draws it again"


def _reasons(run: Run) -> Iterator[str]:
    mark = run.path / "report" / MARK
    try:
        text, moment = mark.read_text(encoding="utf-8"), mark.stat().st_mtime_ns
    except (OSError, UnicodeDecodeError):
        return
    if moment < _last_written(run):
        yield "is older than the run's last results"
    if not text.startswith(f"{_MADE_BY}{drawn_by()} "):
        words = text.removeprefix(_MADE_BY).partition(" with")[0]
        yield f"was drawn by apc-bench {_short(words)}, and this is {_short(drawn_by())}"


def _short(version: str) -> str:
    """With as much of a commit as names it."""
    return " ".join(word[:12] for word in version.split())


def drawn_by() -> str:
    """`0.1.0 877af49…`, without a revision where there is none."""
    return f"{__version__} {(git_revision() or {}).get('commit', '')}".strip()
