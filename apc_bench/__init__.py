"""apc-bench: honest, resumable benchmarks of industrial visual anomaly detection with few anomalous
samples.
"""

import os

__version__ = "0.1.0"

RESULT_VERSION = 2
"""Raised whenever the same step would give other scores: it is part of every `result_key`
(docs/architecture.md, "Two steps, two ids").
"""

# Read by torch when it first allocates: large tensors on huge pages, a seventh of the page faults.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
