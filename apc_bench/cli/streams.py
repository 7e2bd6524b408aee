"""Standard output and error that fail no work: a reader that has gone, a full disk and an alphabet
without our signs cost what is printed, and the exit code says so.
"""

import codecs
import errno
import io
import json
import os
import signal
import sys
from typing import Any

from apc_bench.errors import StorageError

CLOSED_PIPE = 128 + signal.SIGPIPE
"""What a shell says of a program whose reader has gone."""

PLAIN = {
    "–": "-",
    "—": "-",
    "·": "-",
    "─": "-",
    "…": "...",
    "×": "x",
    "±": "+-",
    "−": "-",
    "≤": "<=",
    "≥": ">=",
    "’": "'",
    "“": '"',
    "”": '"',
    "→": "->",
}
"""Our signs in ASCII, for terminals and files of another alphabet."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """A codec's way out: our signs in ASCII, anything else as its code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    known = (PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lost)
    return "".join(known), error.end


codecs.register_error("apc_bench.plainly", _plainly)


class Outlet(io.FileIO):
    """The descriptor of a standard stream that, once it cannot be written, lets go of what comes:
    the work behind it ends as it would have, and `lost` says why.
    """

    lost: OSError | None = None

    def write(self, some: Any) -> int:
        """As any raw file, but it never raises OSError."""
        try:
            return super().write(some) or 0
        except OSError as error:
            self.lost = self.lost or error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())  # for other processes too
            os.close(null)
            return memoryview(some).nbytes


class Stream(io.TextIOWrapper):
    """A standard stream over an Outlet, of any alphabet."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As it is; but for ASCII its nearest relative, since click takes that for a mistake and
        writes UTF-8 all the same.
        """
        told: str = super().encoding
        return "latin-1" if codecs.lookup(told).name == "ascii" else told


def guard_streams() -> None:
    """Puts Streams in the place of standard output and error; one that was closed from the start
    stays so.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            setattr(sys, name, _guarded(stream))


def _guarded(stream: io.TextIOWrapper) -> Stream:
    outlet = io.BufferedWriter(Outlet(stream.fileno(), "wb", closefd=False))
    return Stream(
        outlet,
        encoding=stream.encoding,
        errors="apc_bench.plainly",
        line_buffering=stream.line_buffering,
    )


def output_lost() -> OSError | None:
    """Why standard output can no longer be written, once that is known."""
    outlet = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return outlet.lost if isinstance(outlet, Outlet) else None


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON for standard output: whatever is not ASCII is escaped where its alphabet is not Unicode,
    so that programs read the same.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    unicode = codecs.lookup(encoding).name.startswith("utf")
    return json.dumps(value, indent=indent, ensure_ascii=not unicode)


def settled(code: int) -> int:
    """A command's exit code once all is written: of lost output 1 with a line, or what a closed
    pipe gives, unless the code is an error's already.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    lost = output_lost()
    if lost is None:
        return code
    if lost.errno == errno.EPIPE:
        return code or CLOSED_PIPE
    if sys.stderr is not None:
        sys.stderr.write(f"error: cannot write to standard output: {lost.strerror}\n")
        sys.stderr.flush()
    return code or StorageError.exit_code
