"""What anomalib and Lightning do to the process that they run in, held to the time that they run:
their logs, bars and warnings, the random numbers, and what they change in timm.
"""

import contextlib
import importlib
import io
import logging
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from apc_bench.errors import UsageError
from apc_bench.settings.anomalib import INSTALL

LOGGERS = ("anomalib", "lightning", "lightning.pytorch", "lightning.fabric")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Shows none of their logs below errors, no bars and no warnings; what they raise passes."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            try:
                yield
            finally:
                for logger, level in zip(loggers, levels, strict=True):
                    logger.setLevel(level)


def load_anomalib() -> None:
    """Imports anomalib, which takes seconds and draws random numbers. Raises UsageError where it
    cannot be imported.
    """
    try:
        with quiet(), seeded(0):
            importlib.import_module("anomalib.models")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "anomalib":
            raise UsageError(INSTALL) from None
        raise UsageError(f"anomalib cannot be loaded: {error}; install it anew") from error


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Every source of random numbers that their code draws from starts at `seed`, and goes on
    afterwards where it was.
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
