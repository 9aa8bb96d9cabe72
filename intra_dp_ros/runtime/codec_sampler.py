"""What the codec in use costs, learnt from the frames themselves.

How well an image compresses depends on the image: of a gradient with noise png leaves two thirds, of a street one
third, and plans made for the one are wrong for the other.  So rows of real frames are encoded now and then, beside the
frames, and where that says something else, plans are made anew.

Threading: the frame thread uses `CodecCosts`; a thread of its own encodes a sample, and only hands over what it found.
"""
import json
import logging
import os
import threading
import time
from typing import Dict, List, Mapping, Optional, Sequence

import torch

from intra_dp_ros.graph.files import write_atomically
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.lop.plan import DOWN, UP, codec_of
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.codec_costs import Costs, are_alike, codec_costs, sampled
from intra_dp_ros.wire.codec import CodecError
from intra_dp_ros.wire.source import Source
from intra_dp_ros.wire.tile import encode_rows

_LOG = logging.getLogger(__name__)
_EVERY_S = 30.0  # between samples


class CodecCosts:
    """Costs of the codec in use, and of those used before, whose plans may still run.

    Args:
        tiling: of the graph.
        codec: of its inputs.
        folder: where what was measured is kept for the next start.

    Raises:
        CodecError: no such codec here, or one that does not take such inputs.
    """

    def __init__(self, tiling: Tiling, codec: str, folder: str) -> None:
        self._tiling, self._folder = tiling, folder
        self._lock = threading.Lock()
        self._learnt: Optional[Costs] = None  # by the thread, until the frame thread takes it
        self._next = 0.0  # sample, not before (monotonic [s])
        self._is_sampling = False
        self._is_in_doubt = False  # the last sample took other times than plans are made for
        self.all: Costs = {}  #: of every codec used so far
        self.use(codec)

    def use(self, codec: str) -> None:
        """The codec of the inputs from now on.

        Raises:
            CodecError: no such codec here, or one that does not take such inputs; nothing has changed then.
        """
        for t in self._tiling.graph.inputs:
            name = codec_of(self._tiling, codec)(t, UP)
            if name != "source":  # its own choice, image by image
                dtype = TORCH_DTYPE[self._tiling.graph.tensors[t].dtype]
                encode_rows(torch.zeros(self._tiling.row_shape(t, 0, 1), dtype=dtype), name)
        present = {**codec_costs(codec), **_load(self._path(codec))}
        self.codec, self._names = codec, {name.partition("@")[0] for name in present}
        self.all = {**self.all, **present}
        self._is_in_doubt = False
        with self._lock:
            self._learnt, self._next = None, 0.0

    @property
    def present(self) -> Costs:
        """Of the codec in use."""
        return {name: costs for name, costs in self.all.items() if name.partition("@")[0] in self._names}

    def offer(self, inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor], source: Optional[Source]) -> None:
        """A frame is done: when a sample is due, a copy of it is encoded, on a thread of its own."""
        with self._lock:
            if self.codec == "raw" or self._is_sampling or time.monotonic() < self._next:
                return
            self._is_sampling, self._next = True, time.monotonic() + _EVERY_S
        graph = self._tiling.graph
        values = {t: x.clone() for t, x in (*zip(graph.inputs, inputs), *zip(graph.outputs, outputs))
                  if codec_of(self._tiling, self.codec)(t, UP if t in graph.inputs else DOWN) != "raw"}
        threading.Thread(target=self._sample, args=(self.codec, values, source), name="codec_sample",
                         daemon=True).start()

    def take(self) -> bool:
        """Use what was learnt since the last call; whether that changes what plans should be.

        Other times must be found twice running: on a machine that is busy for a moment they double, and plans made anew
        would keep it busier.
        """
        with self._lock:
            learnt, self._learnt = self._learnt, None
        if learnt is None:
            return False
        before = self.present
        self.all = {**self.all, **learnt}
        is_other_time = not are_alike(before, self.present)
        is_new = not are_alike(before, self.present, with_times=False) or (is_other_time and self._is_in_doubt)
        self._is_in_doubt = is_other_time and not is_new
        if not is_new:
            self.all = {**self.all, **before}  # plans are kept by what they were made for
        return is_new

    def _sample(self, codec: str, values: Mapping[int, torch.Tensor], source: Optional[Source]) -> None:
        found: Costs = {}
        try:
            found = sampled(self._tiling, codec, values, source)
            write_atomically(self._path(codec), json.dumps(found).encode("utf-8"))
        except (CodecError, OSError) as error:
            _LOG.warning("what codec %s costs on real data is not known: %s", codec, error)
        with self._lock:
            self._is_sampling = False
            if codec == self.codec:
                self._learnt = found

    def _path(self, codec: str) -> str:
        return os.path.join(self._folder, "{}-{}.json".format(self._tiling.graph.hash, codec.replace("+", "_")))


def _load(path: str) -> Costs:
    """What was kept; nothing when it is not there or damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            raw: Dict[str, List[float]] = json.load(file)
        found = {str(name): tuple(float(x) for x in costs) for name, costs in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return found if all(len(c) == 3 and all(0 <= x < float("inf") for x in c) for c in found.values()) else {}
