"""Which tiles of a robot's frames the server still takes: of the newest frame, under its present plan, every row once.

Not thread-safe: the session locks.
"""
from typing import Collection, Dict, Optional, Set

from intra_dp_ros.wire.messages import AGAIN, Tile
from intra_dp_ros.wire.tile import TileError, TileSpec


class Admission:
    """Of one session.

    Args:
        inputs: the graph's: their rows stay when a frame goes on by another plan.
    """

    def __init__(self, inputs: Collection[int]) -> None:
        self._inputs = frozenset(inputs)
        self._frame = 0
        self._epoch = 0
        self._past: Set[int] = set()  # plans that the frame ran under before
        self._rows: Dict[int, int] = {}  # tensor -> rows that have come

    def check(self, tile: Tile, spec: Optional[TileSpec]) -> None:
        """Whether a tile comes in its order, and brings no row that has come: those would fill the memory.

        Args:
            spec: what its plan lets travel of its tensor; None: nothing, which `decode_tile` refuses.

        Raises:
            TileError: it does not.
        """
        if tile.frame < self._frame:
            raise TileError("a tile of frame {} after frame {} has begun".format(tile.frame, self._frame))
        is_other = tile.epoch != self._epoch
        if tile.frame == self._frame and (is_other != (tile.tensor == AGAIN) or tile.epoch in self._past):
            raise TileError("a tile of plan {} of frame {}, which runs under plan {}".format(
                tile.epoch, tile.frame, self._epoch))
        if tile.tensor == AGAIN or spec is None:
            return
        rows = self._after(tile)
        if rows > spec.stop - spec.start:
            raise TileError("a tile of tensor {}: {} rows of the frame have come, expected {}".format(
                tile.tensor, rows, spec.stop - spec.start))

    def admit(self, tile: Tile, spec: Optional[TileSpec]) -> None:
        """The tile is taken.  Raises as `check`."""
        self.check(tile, spec)
        rows = self._after(tile)
        if tile.frame != self._frame:
            self._past, self._rows = set(), {}
        elif tile.epoch != self._epoch:
            self._past.add(self._epoch)
            self._rows = {t: n for t, n in self._rows.items() if t in self._inputs}
        self._frame, self._epoch = tile.frame, tile.epoch
        if tile.tensor != AGAIN:
            self._rows[tile.tensor] = rows

    def is_newest(self, frame: int, epoch: int) -> bool:
        """Whether a frame under a plan is what the robot waits for."""
        return (frame, epoch) == (self._frame, self._epoch)

    def _after(self, tile: Tile) -> int:
        """Rows of its tensor that have come once it is taken."""
        came = self._rows.get(tile.tensor, 0) if tile.frame == self._frame else 0
        return came + max(0, tile.stop - tile.start)
