"""What the simulator knows about machines that are not here: message costs, codec costs, times from files."""
import math
from dataclasses import dataclass
from typing import Dict, Mapping, Tuple

from intra_dp_ros.bench.codec_costs import nearest
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.lop.plan import DOWN, LOSSLESS, UP, codec_of
from intra_dp_ros.lop.tiling import Tiling
from intra_dp_ros.runtime.sender import LEAST_ENCODED_BYTES, TILE_BYTES

#: Operators timed one by one add up to more than a frame: the robot's column of all four published files is 9 % above
#: the times of whole inferences that are published with them (431/394, 852/776, 95.7/88 and 225.8/207 ms); the
#: server's column is not.
PUBLISHED_SCALE = (0.915, 1.0)


@dataclass(frozen=True)
class MessageCosts:
    """What it takes to send tensors beyond the bytes on the air."""

    per_message_s: float  # of every message, half at either end, beside other messages' bytes [s]
    per_byte_s: float  # of every byte that is sent, before it is on the air and behind it together [s/byte]
    tile_bytes: float  # decoded bytes that are encoded before anything leaves; infinite: whole tensors
    encoded_bytes: float = 0.0  # that a tile has at least, see `LinkModel`


#: `package`: rospy as this package uses it, 0.3 ms a message and 2.8 ms a megabyte through two processes.
#: `published`: two numbers fitted to the eight measured offloading rows of the published system, all of which they
#: reproduce within 6 %; see docs/results/simulated.md.
MESSAGE_COSTS: Mapping[str, MessageCosts] = {
    "package": MessageCosts(0.0003, 2.8e-9, TILE_BYTES, LEAST_ENCODED_BYTES),
    "published": MessageCosts(0.0045, 20e-9, math.inf),
}


def link_of(tiling: Tiling, codec: str, costs: MessageCosts, duplex: str, rtt_s: float, robot_slowdown: float
            ) -> LinkModel:
    """The link's kind; its bandwidths are replaced by whoever plans.

    Args:
        codec: "raw" or `LOSSLESS`.
        robot_slowdown: how much slower the robot's codec thread is than the machine the codecs were measured on.
    """
    half = costs.per_byte_s / 2
    codecs: Dict[str, Tuple[float, float, float]] = {"raw": (1.0, half, half)}
    choose = codec_of(tiling, codec)
    for t in (*tiling.graph.inputs, *tiling.graph.outputs) if codec == LOSSLESS else ():
        is_input = t in tiling.graph.inputs
        name = choose(t, UP if is_input else DOWN)
        if name == "raw":
            continue
        shape = tiling.graph.tensors[t].shape
        pixels = max(1, tiling.graph.tensors[t].numel // (3 if name == "png" and 3 in shape else 1))
        one = nearest("image" if name == "png" else "occupancy" if is_input else "classes", pixels)
        encode, decode = one.encode_s_per_byte, one.decode_s_per_byte
        encode, decode = (encode * robot_slowdown, decode) if is_input else (encode, decode * robot_slowdown)
        codecs["{}@{}".format(name, t)] = codecs[name] = (one.ratio, encode + half * one.ratio,
                                                          decode + half * one.ratio)
    return LinkModel(1e6, 1e6, rtt_s, duplex, costs.per_message_s, codecs, costs.tile_bytes,
                     costs.encoded_bytes)
