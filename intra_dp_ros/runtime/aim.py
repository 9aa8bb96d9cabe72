"""What a robot's plans are made for: an objective, and what the link, its codecs and the server cost here."""
import threading
from dataclasses import replace
from typing import Optional, Tuple

from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.objective import Objective
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.codec_costs import Costs
from intra_dp_ros.runtime.codec_sampler import CodecCosts
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.levels import ROUND_TRIPS, Level
from intra_dp_ros.runtime.load import LEVELS
from intra_dp_ros.runtime.planner import Planner
from intra_dp_ros.runtime.sender import LEAST_ENCODED_BYTES, TILE_BYTES

_HOLD_S = 2.0  # round trips must have been longer for so long: plans made anew cost time, outages end
_MESSAGE_S = 0.001  # of a message beyond its bytes, half at either end, where all threads share a busy interpreter [s]


def link_model(bandwidth: float, rtt_s: float, duplex: str, codecs: Costs) -> LinkModel:
    """A link of this bandwidth [byte/s] both ways, with the messages and tiles of this package's senders."""
    return LinkModel(bandwidth, bandwidth, rtt_s, duplex, _MESSAGE_S, codecs, TILE_BYTES, LEAST_ENCODED_BYTES)


class Aim:
    """Of one robot.

    Threading: the frame thread learns what codecs cost (`codecs`), a link thread what the server says (`hear`), and
    anyone may `want`; a lock keeps the order in which the planner is told.

    Args:
        tiling: of the graph.
        config: to begin with.
        folder: where what codecs cost is kept for the next start.
    """

    def __init__(self, tiling: Tiling, config: RobotConfig, folder: str) -> None:
        self.codecs = CodecCosts(tiling, config.input_codec, folder)
        self._objective, self._duplex = config.objective, config.duplex
        self._load, self._trip = Level(LEVELS, 1.0), Level(ROUND_TRIPS, config.rtt_s, _HOLD_S)
        self.load = 1.0  #: times slower than alone that the server is, as it says; plans are made for a level of it
        self._lock = threading.Lock()
        self._told: Optional[Tuple[LinkModel, str, Objective]] = None
        self._is_new = False

    def link_at(self, bandwidth: float = 1e6) -> LinkModel:
        """The link at a bandwidth [byte/s], with the codecs of all plans that may still run."""
        return link_model(bandwidth, self._trip.value, self._duplex, self.codecs.all)

    def want(self, objective: Objective, input_codec: str, planner: Planner) -> None:
        """Another objective, or codec of the inputs.

        Raises:
            CodecError: no such codec here; nothing has changed then.
        """
        with self._lock:
            if input_codec != self.codecs.codec:
                self.codecs.use(input_codec)
            self._objective = objective
        self.tell(planner)

    def hear(self, rtt_s: float, load: float, is_uploading: bool, planner: Planner) -> None:
        """A heartbeat came.

        Args:
            rtt_s: least round trip of the last seconds [s]; 0: not known.
            load: how many other robots the server works for (`Share`).
            is_uploading: weights are on their way, and heartbeats wait behind them: later ones are no longer than this.
        """
        self.load = 1.0 + max(0.0, load)
        planner.load_is(self._load.hear(self.load))
        if rtt_s > 0 and (not is_uploading or rtt_s < self._trip.value) and (
                self._trip.value != self._trip.hear(rtt_s)):
            self.tell(planner)

    def tell(self, planner: Planner) -> None:
        """Have plans made for what is known now."""
        with self._lock:
            now = replace(self.link_at(), codecs=self.codecs.present), self.codecs.codec, self._objective
            planner.aim(*now)
            self._is_new |= now != self._told
            self._told = now

    def is_new(self) -> bool:
        """Whether predictions made before the last call do not hold any more."""
        with self._lock:
            was, self._is_new = self._is_new, False
        return was
