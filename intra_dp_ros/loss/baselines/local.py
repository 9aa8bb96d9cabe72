"""Everything on the robot."""
from intra_dp_ros.loss.link_model import LinkModel
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import Plan, local_plan
from intra_dp_ros.lop.tiling import Tiling


def plan(tiling: Tiling, timeline: Timeline, link: LinkModel, codec: str = "raw") -> Plan:
    """The local plan, whatever the link."""
    return local_plan(tiling)
