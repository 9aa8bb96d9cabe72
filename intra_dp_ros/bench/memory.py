"""How much memory a computation holds at its worst, counted tensor by tensor, so that it is the same every time."""
import weakref
from typing import Any, Callable, Dict, List

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from intra_dp_ros.graph.views import storage_of


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most bytes of tensors made by `call` that are alive at once; inputs and weights are not counted."""
    with torch.inference_mode(), _Counter() as counter:
        result = call()
    del result
    return counter.peak


class _Counter(TorchDispatchMode):
    """Adds the memory of every tensor that an operator returns, and takes it off when the last view of it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: Dict[int, List[int]] = {}  # address -> [tensors alive, bytes]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_address(t) for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(out)[0]:
            if isinstance(tensor, torch.Tensor) and _address(tensor):
                self._add(tensor, given)
        return out

    def _add(self, tensor: torch.Tensor, given: Any) -> None:
        address = _address(tensor)
        if address in given and address not in self._known:
            return  # a view of an input or of a weight
        entry = self._known.setdefault(address, [0, 0])
        if entry[0] == 0:
            entry[1] = storage_of(tensor).nbytes()
            self._now += entry[1]
            self.peak = max(self.peak, self._now)
        entry[0] += 1
        weakref.finalize(tensor, self._remove, address, entry)

    def _remove(self, address: int, entry: List[int]) -> None:
        entry[0] -= 1
        if entry[0] == 0:
            self._now -= entry[1]
            if self._known.get(address) is entry:
                del self._known[address]


def _address(tensor: torch.Tensor) -> int:
    return storage_of(tensor).data_ptr()
