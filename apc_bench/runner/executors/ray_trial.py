"""`python -m apc_bench.runner.executors.ray_trial`: starts a Ray of our own as a sweep does, has a
worker of it do something, and prints as one JSON object how many cores it has, what is wrong, and
what a sweep would say of it.
"""

import json
import os

from apc_bench.errors import ResourceError
from apc_bench.runner.executors.protocol import Resources
from apc_bench.runner.executors.ray_connection import cause, connected


def main() -> None:
    """Ends the process at once, since threads of Ray's outlive it (cli/__init__.py)."""
    cores, fault = 0.0, None
    said: list[str] = []
    try:
        with connected(Resources(1, {}), said.append) as ray:
            ray.get(ray.remote(max_retries=0)(_answer).remote())
            cores = ray.cluster_resources().get("CPU", 0.0)
    except ResourceError as error:
        fault = str(error)
    except Exception as error:  # whatever it is, it is Ray's, and is to be told
        fault = f"Ray starts, and its workers do not: {cause(error)}"
    print(json.dumps({"cores": cores, "fault": fault, "said": said}), flush=True)
    os._exit(0)


def _answer() -> bool:
    return True


if __name__ == "__main__":
    main()
