"""What a model does with tensors without calling an operator: a `Recorder` is told of it."""
from typing import Any

import torch

from intra_dp_ros.graph.recorder import Recorder
from intra_dp_ros.graph.replay import DataIsDetached

#: Methods that let Python see a tensor's values or memory without an operator.
_READERS = frozenset({"numpy", "tolist", "__array__", "__dlpack__", "to_dlpack", "_to_dlpack", "data_ptr", "storage",
                      "untyped_storage", "_typed_storage", "_storage", "__reduce_ex__", "__deepcopy__", "__repr__"})


class Readers(DataIsDetached):
    """Tells a recorder of what a model does with tensors without calling an operator."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _READERS and args and isinstance(args[0], torch.Tensor):
            self._recorder.on_reader(func.__name__, args[0])
        return super().__torch_function__(func, types, args, kwargs)
