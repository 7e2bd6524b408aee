"""apc-bench: honest, resumable benchmarks of industrial visual anomaly detection with few anomalous samples."""

__version__ = "0.1.0"

RESULT_VERSION = 1
"""Raised whenever the same step would give other scores: it is part of every `result_key` (DESIGN.md, "Two steps, two ids")."""
