"""What a robot's owner decides."""
from dataclasses import dataclass

from intra_dp_ros.loss.energy import PowerModel
from intra_dp_ros.loss.link_model import HALF
from intra_dp_ros.loss.objective import Objective

AUTO = "auto"  # the strategy intra_dp


@dataclass(frozen=True)
class RobotConfig:
    """Of one robot and its model."""

    robot_id: str = "robot"
    strategy: str = AUTO
    device: str = "cpu"
    slowdown: float = 1.0  # emulated slower processor
    duplex: str = HALF  # of the link
    rtt_s: float = 0.002  # round trip assumed until heartbeats have measured it [s]
    adaptive: bool = True  # frames change sides or their plan when the link falls or rises in their middle
    input_codec: str = "raw"  # for graph inputs
    power: PowerModel = PowerModel()
    objective: Objective = Objective()  # of the strategies auto and intra_dp


def searched(strategy: str) -> str:
    """The strategy whose plans one uses: "auto" those of intra_dp."""
    return "intra_dp" if strategy == AUTO else strategy
