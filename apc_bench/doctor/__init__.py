"""What a bug report needs to know of an installation and its machine, and what is wrong with
them.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from apc_bench.doctor import machine, places, software
from apc_bench.doctor.fact import Fact as Fact
from apc_bench.doctor.fact import found


def examine(cache: Path | None, *, start_ray: bool) -> Iterator[Fact]:
    """All that is found out, as it is found. `cache`: its folder; None where there is none.
    `start_ray`: takes ten seconds.
    """
    looks = {
        "apc-bench": software.package,
        "system": machine.system,
        "processor": machine.processors,
        "libraries": software.libraries,
        "threads": machine.threads,
        "GPU": machine.gpus,
        "extras": software.extras,
        "plug-ins": software.other_packages,
        "environment": machine.variables,
        "temporary": places.temporary_files,
    }
    if start_ray:
        looks["Ray"] = places.ray_starts
    if cache is not None:
        looks["cache"] = partial(places.cache, cache)
        looks["weights"] = partial(places.weights, cache)
    for name, look in looks.items():
        yield found(name, look)
