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


TAKER = """
from pathlib import Path

def take(handover, path):
    value = handover.take()
    Path(path).write_text(f"{len(value)} {value[0]} {value[-1]}")
"""
HANDING = """
import sys
from pathlib import Path
import taker
from apc_bench.files.processes import ANEW, handed_to

value = list(range(1_000_000))
with handed_to(2, value) as handover:
    value[0] = "too late"
    names = [f"{sys.argv[1]}/{number}" for number in range(2)]
    takers = [ANEW.Process(target=taker.take, args=(handover, name)) for name in names]
    for one in takers:
        one.start()
    for one in takers:
        one.join()
print([Path(name).read_text() for name in names])
with handed_to(2, value):  # which nobody takes
    pass
print("goes on")
"""


def test_each_process_takes_the_value_as_it_was_when_it_was_handed_over(tmp_path: Path) -> None:
    (tmp_path / "taker.py").write_text(TAKER)
    (tmp_path / "script.py").write_text(HANDING)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.splitlines() == [f"{['1000000 0 999999'] * 2}", "goes on"]
    assert done.stderr == ""
