"""What the Tab key gives, in a real bash with the documented line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINE = 'eval "$(_APC_BENCH_COMPLETE=bash_source apc-bench)"'
COMPLETE = """
compopt() { REPLY_KIND="$1 $2"; }
try() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); REPLY_KIND=
    "$(complete -p apc-bench | sed 's/.*-F \\([^ ]*\\).*/\\1/')" apc-bench
    echo "${COMPREPLY[*]} $REPLY_KIND"
}
try apc-bench sw
try apc-bench data ""
try apc-bench sweep --protocol ""
try apc-bench sweep --job ni
try apc-bench sweep --job ./my
try apc-bench sweep --backbone resnet
try apc-bench sweep --data br
try apc-bench data fetch mp
try apc-bench cache --clear fe
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_commands_options_names_and_folders(tmp_path):
    documented = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert f"`{LINE}`" in documented
    program = tmp_path / "apc-bench"
    program.write_text(f"#!{sys.executable}\nfrom apc_bench.cli import main\nmain()\n")
    program.chmod(0o755)
    script = f'PATH="{tmp_path}:$PATH"\n{LINE}\n{COMPLETE}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [re.sub(" +", " ", line).strip() for line in done.stdout.splitlines()] == [
        "sweep",
        "list fetch synth check",
        "holdout crossfit",
        "nightly",
        "-o default",
        "resnet18 resnet50",
        "-o default",
        "mpdd",
        "features",
    ]
