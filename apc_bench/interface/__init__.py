"""For Python and notebooks: a run as tables, frames, arrays and figures, and a sweep as a function
(docs/python.md). `import apc_bench` gives the same names, and loads them when they are asked for.
"""

from apc_bench.interface.facts import Facts
from apc_bench.interface.maps import Maps
from apc_bench.interface.opened import OpenedRun, open_run
from apc_bench.interface.shown import ShownTable
from apc_bench.interface.sweeping import job, sweep
from apc_bench.runner.executors.protocol import Execution

__all__ = ["Execution", "Facts", "Maps", "OpenedRun", "ShownTable", "job", "open_run", "sweep"]
