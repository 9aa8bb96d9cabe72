"""What the scheduler knows about the link between robot and server."""
from dataclasses import dataclass, field
from typing import Callable, Mapping, Tuple

#: (direction, start [s], bytes) -> when they have crossed [s]; infinite where nothing is carried.
Carrier = Callable[[str, float, float], float]

HALF = "half"  # one queue for both directions: Wi-Fi
FULL = "full"


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
    per_message_s: float = 0.0  # cost of a message beyond its bytes [s]
    # codec -> (bytes sent per raw byte, encoding [s per raw byte], decoding [s per raw byte]); "codec@7" is what it
    # costs for tensor 7, where that is known
    codecs: Mapping[str, Tuple[float, float, float]] = field(default_factory=lambda: {"raw": (1.0, 0.0, 0.0)})

    def __post_init__(self) -> None:
        if self.duplex not in (HALF, FULL):
            raise ValueError("link: duplex must be {!r} or {!r}, not {!r}".format(HALF, FULL, self.duplex))
        for name in ("up", "down", "rtt_s", "per_message_s"):
            if not getattr(self, name) >= 0:
                raise ValueError("link: {} must be >= 0, not {}".format(name, getattr(self, name)))
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
