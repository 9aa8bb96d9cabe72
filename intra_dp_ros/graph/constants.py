"""Tensors as bytes and back: little-endian, C-contiguous, named by their SHA-256."""
import hashlib
import sys
from typing import Any, Iterator, Mapping

import numpy as np
import torch

from intra_dp_ros.graph.graph import ConstSpec, GraphError
from intra_dp_ros.graph.registry import DTYPE_NAME, TORCH_DTYPE


def dtype_name(tensor: torch.Tensor) -> str:
    """The graph's name of a tensor's element type.

    Raises:
        GraphError: a type that is neither recorded nor sent (complex, quantised).
    """
    name = DTYPE_NAME.get(tensor.dtype)
    if name is None:
        raise GraphError("tensors of type {} are not supported: use one of {}".format(
            tensor.dtype, ", ".join(TORCH_DTYPE)))
    return name


def tensor_to_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor of any device and memory layout (a view of its memory where possible)."""
    dense = tensor.detach().cpu().contiguous()
    if dense.dtype == torch.bfloat16:  # numpy has no bfloat16; the bits are what is kept
        dense = dense.view(torch.int16)
    array = dense.reshape(-1).numpy()
    if sys.byteorder == "big":
        array = array.byteswap()
    return memoryview(array.view(np.uint8))


def tensor_from_bytes(data: Any, shape: Any, dtype: str) -> torch.Tensor:
    """The tensor of `shape` whose bytes are `data`; it shares `data`'s memory when that is writable.

    Raises:
        GraphError: the length does not fit the shape.
    """
    wanted = TORCH_DTYPE[dtype]
    plain = "int16" if dtype == "bfloat16" else dtype
    kind = np.dtype(plain).newbyteorder("<")
    count = int(np.prod(shape, dtype=object))
    if memoryview(data).nbytes != count * kind.itemsize:
        raise GraphError("{} bytes do not make a {} tensor of shape {}".format(
            memoryview(data).nbytes, dtype, tuple(shape)))
    array = np.frombuffer(data, dtype=kind).astype(np.dtype(plain), copy=False)
    if not array.flags.writeable:
        array = array.copy()
    tensor = torch.from_numpy(array).reshape(tuple(shape))
    return tensor.view(wanted) if dtype == "bfloat16" else tensor


def const_spec(tensor: torch.Tensor) -> ConstSpec:
    """Shape, element type and content address of a constant."""
    return ConstSpec(tuple(tensor.shape), dtype_name(tensor), hashlib.sha256(tensor_to_bytes(tensor)).hexdigest())


class ByConstant(Mapping[str, torch.Tensor]):
    """A value for each key of another mapping, made when it is asked for; asking whether a key is there makes none."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys = keys

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
