"""Everything on the server: the input goes up whole, the outputs come down."""
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, complete, codec_of
from intra_dp_ros.lop.tiling import Tiling


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw", chunks: int = 1,
         strategy: str = "offload") -> Plan:
    """The offloading plan.

    Args:
        codec: of the graph's inputs.
        chunks: pieces of an input; 1, as published: the server begins when all of it is there.
    """
    rows = [rule.rows for rule in tiling.rules]
    return complete(tiling, strategy, rows, rows, codec_of(tiling, codec), chunks)
