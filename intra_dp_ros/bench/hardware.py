"""What the simulator knows about machines that are not here: operator times from a file, message and codec costs."""
import json
import os
from dataclasses import dataclass
from typing import Dict, Mapping, Tuple

from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.lop.plan import DOWN, LOSSLESS, UP, codec_of
from intra_dp_ros.lop.tiling import Tiling

#: Operators timed one by one add up to more than a frame: the robot's column of all four published files is 9 % above
#: the times of whole inferences that are published with them (431/394, 852/776, 95.7/88 and 225.8/207 ms); the
#: server's column is not.
PUBLISHED_SCALE = (0.915, 1.0)


@dataclass(frozen=True)
class MessageCosts:
    """What it takes to send tensors beyond the bytes on the air."""

    per_message_s: float  # of every message, one after the other with its bytes [s]
    per_byte_s: float  # of every raw byte, before it is on the air and behind it together [s/byte]


#: `package`: rospy as this package uses it, 0.3 ms a message and 2.8 ms a megabyte through two processes.
#: `published`: fitted by ``scripts/fit_costs`` to the eight measured offloading rows of the published system.
MESSAGE_COSTS: Mapping[str, MessageCosts] = {
    "package": MessageCosts(0.0003, 2.8e-9),
    "published": MessageCosts(0.0085, 22e-9),
}

_RATIOS = os.path.join("config", "codec_costs.json")


def codec_costs_of(tiling: Tiling, codec: str, measured: Mapping[str, Mapping[str, float]], costs: MessageCosts,
                   robot_slowdown: float) -> Dict[str, Tuple[float, float, float]]:
    """`LinkModel.codecs` of a graph, messages' costs per byte included.

    Args:
        codec: "raw" or `LOSSLESS`.
        measured: kind of tensor -> ratio, encode_s_per_byte, decode_s_per_byte, as `measured_codecs` reads them.
        robot_slowdown: how much slower the robot's codec thread is than the machine they were measured on.
    """
    half = costs.per_byte_s / 2
    found = {"raw": (1.0, half, half)}
    if codec != LOSSLESS:
        return found
    choose = codec_of(tiling, codec)
    for t in (*tiling.graph.inputs, *tiling.graph.outputs):
        is_input = t in tiling.graph.inputs
        name = choose(t, UP if is_input else DOWN)
        if name == "raw":
            continue
        one = measured["image" if name == "png" else "occupancy" if is_input else "classes"]
        encode, decode = one["encode_s_per_byte"], one["decode_s_per_byte"]
        encode, decode = (encode * robot_slowdown, decode) if is_input else (encode, decode * robot_slowdown)
        found["{}@{}".format(name, t)] = found[name] = (
            one["ratio"], encode + half * one["ratio"], decode + half * one["ratio"])
    return found


def measured_codecs(root: str) -> Mapping[str, Mapping[str, float]]:
    """The codec costs that ``scripts/measure_codecs`` wrote.

    Raises:
        OSError, ValueError: they are not there, or not such a file.
    """
    with open(os.path.join(root, _RATIOS), encoding="utf-8") as file:
        return json.load(file)["kinds"]


def link_of(tiling: Tiling, codec: str, costs: MessageCosts, duplex: str, rtt_s: float,
            measured: Mapping[str, Mapping[str, float]], robot_slowdown: float) -> LinkModel:
    """The link's kind; its bandwidths are replaced by whoever plans."""
    return LinkModel(1e6, 1e6, rtt_s, duplex, costs.per_message_s,
                     codec_costs_of(tiling, codec, measured, costs, robot_slowdown))
