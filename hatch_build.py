"""Has a wheel or an sdist say which revision it was built from: `apc-bench --version` and every run
made with it name that.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REVISION = "apc_bench/_revision.json"


class RevisionHook(BuildHookInterface):
    """Adds the file that apc_bench/store/provenance.py reads. An sdist has one of its own, which
    goes into the wheel that is built from it.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; an editable one reads the checkout itself."""
        root = Path(self.root)
        if version == "editable" or not (root / ".git").exists():
            return
        sys.path.insert(0, str(root))
        from apc_bench.store.provenance import git_revision  # it needs the standard library alone

        revision = git_revision()
        if revision is None:
            return
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "revision.json"
        path.write_text(json.dumps(revision))
        build_data["force_include"][str(path)] = REVISION

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called after the build."""
        if hasattr(self, "folder"):
            self.folder.cleanup()
