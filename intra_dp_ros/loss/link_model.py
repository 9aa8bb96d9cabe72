"""What the scheduler knows about the link between robot and server.

A piece of rows is sent as tiles, each encoded when the one before it is on its way, and decoded while the next one
comes: so the air waits for the first tile's encoding only, and the last tile for everything (`Passage`).  What a
message costs beyond its bytes is the ends' work, half on either side: other messages are on the air meanwhile.
"""
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, Tuple

import numpy as np

#: (direction, start [s], bytes) -> when they have crossed [s]; infinite where nothing is carried.
Carrier = Callable[[str, float, float], float]

HALF = "half"  # one queue for both directions: Wi-Fi
FULL = "full"
LEAST_RATIO = 1 / 64  #: of encoded to decoded bytes that tiles are cut for


@dataclass(frozen=True)
class LinkModel:
    """Bandwidths, delays and codec costs.

    Raises:
        ValueError: a number that no link has.
    """

    up: float  # robot to server [bytes/s]; 0: no link
    down: float  # server to robot [bytes/s]
    rtt_s: float = 0.0  # round-trip time [s]
    duplex: str = HALF
    per_message_s: float = 0.0  # cost of a message beyond its bytes, both ends together [s]
    # codec -> (bytes sent per raw byte, encoding [s per raw byte], decoding [s per raw byte]); "codec@7" is what it
    # costs for tensor 7, where that is known
    codecs: Mapping[str, Tuple[float, float, float]] = field(default_factory=lambda: {"raw": (1.0, 0.0, 0.0)})
    tile_bytes: float = float("inf")  # decoded bytes of a tile [byte]; infinite: pieces are not cut into tiles
    encoded_bytes: float = 0.0  # that a tile has at least, if that takes more decoded ones [byte]

    def __post_init__(self) -> None:
        if self.duplex not in (HALF, FULL):
            raise ValueError("link: duplex must be {!r} or {!r}, not {!r}".format(HALF, FULL, self.duplex))
        for name in ("up", "down", "rtt_s", "per_message_s", "encoded_bytes"):
            if not getattr(self, name) >= 0:
                raise ValueError("link: {} must be >= 0, not {}".format(name, getattr(self, name)))
        if not self.tile_bytes > 0:
            raise ValueError("link: tile_bytes must be > 0, not {}".format(self.tile_bytes))
        for name, costs in self.codecs.items():
            if len(costs) != 3 or not all(c >= 0 for c in costs):
                raise ValueError("link: codec {!r} needs (ratio, encode, decode), all >= 0, not {}".format(name, costs))

    def costs(self, codec: str, tensor: int) -> Tuple[float, float, float]:
        """What a codec costs for a tensor.

        Raises:
            KeyError: no such codec.
        """
        known = self.codecs.get("{}@{}".format(codec, tensor))
        return self.codecs[codec] if known is None else known

    def finish(self, direction: str, start: float, nbytes: float) -> float:
        """The `Carrier` of a link whose bandwidth does not change."""
        rate = self.up if direction == "up" else self.down
        return start + (nbytes / rate if rate > 0 else float("inf"))

    def passage(self, costs: Tuple[float, float, float], raw: Any) -> "Passage":
        """What a piece of so many decoded bytes takes; numbers, or arrays of one shape.

        Args:
            costs: see `costs`; numbers or arrays.
        """
        ratio, encode, decode = costs
        size = np.maximum(self.tile_bytes, self.encoded_bytes / np.maximum(ratio, LEAST_RATIO))
        tile = np.minimum(1.0, size / np.maximum(raw, 1e-300))
        each = self.per_message_s / 2 / tile  # of as many messages as there are tiles
        return Passage(ratio * raw, encode * raw + each, decode * raw + each, tile)


class Passage(NamedTuple):
    """A piece of rows from one side to the other; numbers, or arrays of one shape.

    The formulas hold for equal tiles, whatever is slowest: encoder, air or decoder.
    """

    nbytes: Any  # on the air
    encode_s: Any
    decode_s: Any
    tile: Any  # share of the piece that a tile is

    def first_s(self, begun: Any) -> Any:
        """When the first tile is encoded, of a piece whose encoding begins then."""
        return begun + self.tile * self.encode_s

    def crossed_s(self, begun: Any, encoded: Any, finish: Callable[[Any, Any], Any]) -> Tuple[Any, Any]:
        """When the first and the last tile have crossed.

        Args:
            begun: when the first tile was given to the air.
            encoded: when the last one was encoded.
            finish: (start [s], bytes) -> when they have crossed [s].
        """
        return (finish(begun, self.tile * self.nbytes),
                np.maximum(finish(begun, self.nbytes), finish(np.maximum(begun, encoded), self.tile * self.nbytes)))

    def decoded_s(self, first: Any, last: Any, free: Any) -> Any:
        """When all of it is decoded.

        Args:
            first, last: when the first and the last tile arrived.
            free: when the decoder is.
        """
        return np.maximum(last + self.tile * self.decode_s, np.maximum(first, free) + self.decode_s)
