"""A step of a computation on a GPU, recorded once and replayed: its thousands of small kernels cost
more to launch than to run.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EAGER = 3


class Replayed:
    """Calls `step(*tensors) -> tensor` as it is for the first few times, which also lets libraries
    set themselves up; then records a CUDA graph of it and replays that, with the same kernels and
    so the same numbers.

    `step` must read nothing that changes but its inputs and tensors that it changes in place, have
    inputs of fixed shapes, and wait for nothing (`item`, copies from or to the CPU).
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self._step = step
        self._eager = EAGER
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The step's result, in memory of its own."""
        if self._eager:
            self._eager -= 1
            return self._aside(inputs)
        if self._graph is None:
            self._inputs = [tensor.clone() for tensor in inputs]
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = self._step(*self._inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output.clone()

    def _aside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """On a stream of its own, as recording demands of what ran before."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self._step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output
