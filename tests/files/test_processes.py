import subprocess
import sys
from pathlib import Path

SCRIPT = """
from concurrent.futures import ProcessPoolExecutor
from apc_bench.files.processes import ANEW

print("the script runs")
with ProcessPoolExecutor(2, ANEW) as pool:
    print(list(pool.map(abs, [-1, 2, -3])))
"""


def test_a_script_without_a_guard_runs_once_and_has_its_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.splitlines() == ["the script runs", "[1, 2, 3]"]
    assert done.stderr == ""


def test_the_main_module_is_in_its_place_afterwards() -> None:
    code = (
        "import sys\nfrom apc_bench.files.processes import ANEW\nmain = sys.modules['__main__']\n"
    )
    code += "one = ANEW.Process(target=print, args=('there',))\none.start()\none.join()\n"
    code += "print(sys.modules['__main__'] is main, one.exitcode)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.splitlines() == ["there", "True 0"]
