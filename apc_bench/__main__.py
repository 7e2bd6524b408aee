"""`python -m apc_bench` is `apc-bench`."""

from apc_bench.cli import main

main()
