"""Reading a state dict from a weights file, before anyone knows of which network it is. Executes
nothing that a file holds.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from apc_bench.errors import WeightsError, listed

State = Mapping[str, Tensor]

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before the name of every tensor."""


def read_state(path: Path, entries: tuple[str, ...] = ("state_dict",)) -> State:
    """The state dict of a file (`torch.save` or `.safetensors`), from one of these
    `entries` where it has one.

    Raises `WeightsError` for a file that is missing, damaged, or holds objects other than tensors.
    """
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error
    content: object
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    # What a reader raises on foreign bytes is not documented, and differs between formats and
    # versions.
    except Exception as error:
        raise WeightsError(f"cannot read weights {path}: {_fault(error)}") from error
    return state_dict_of(content, path, entries)


def state_dict_of(content: object, path: Path, entries: tuple[str, ...] = ("state_dict",)) -> State:
    """The state dict that a file held. Raises `WeightsError` for objects other than tensors."""
    state = content
    if isinstance(content, Mapping):
        state = next((content[entry] for entry in entries if entry in content), content)
    if not isinstance(state, Mapping):
        got = f"a {type(state).__name__}"
    elif all(isinstance(key, str) and _is_plain(value) for key, value in state.items()):
        return state
    else:
        got = f"entries {listed(map(repr, state))}"
    raise WeightsError(
        f"{path} holds no state dict of plain tensors, but {got}: save the network's state_dict()"
    )


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _fault(error: Exception) -> str:
    """What is wrong with a file, in our words: the reader's own would advise to load with code
    allowed.
    """
    if isinstance(error, pickle.UnpicklingError):
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            return (
                f"it holds pickled code or objects ({refused[1]!r}), which are never loaded; save"
                " the network's state_dict() instead"
            )
    return "it is damaged, or not a weights file of torch or safetensors; fetch it again"


def unwrapped(content: State) -> tuple[State, str]:
    """The tensors without what wrappers put before every name, and what that is."""
    taken = ""
    for wrapper in (*WRAPPERS, *WRAPPERS):  # one may be inside the other
        if content and all(key.startswith(wrapper) for key in content):
            content = {key.removeprefix(wrapper): value for key, value in content.items()}
            taken += wrapper
    return content, taken


def tensors_for(blanks: State, state: State, path: Path) -> dict[str, Tensor]:
    """The file's tensor for each of a network's (`blanks`), in its own memory (a file may share one
    among several names), floats as float32; batch norm's count of batches, which older files lack,
    from 0 on. Raises `WeightsError` for values that are not finite.
    """
    tensors = {}
    for key, blank in blanks.items():
        value = state[key] if key in state else torch.zeros((), dtype=blank.dtype)
        if not torch.isfinite(value).all():
            raise WeightsError(
                f"weights {path}: '{key}' holds values that are not finite; fetch the file again"
            )
        value = value.detach()
        tensors[key] = value.to(blank.dtype, copy=True, memory_format=torch.contiguous_format)
    return tensors
