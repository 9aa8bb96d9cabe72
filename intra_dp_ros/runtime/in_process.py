"""A server inside the robot's own process: to try splitting out, to test and to simulate, without ROS or a network."""
from typing import Dict, Optional, Tuple

from intra_dp_ros.runtime.server import Server
from intra_dp_ros.wire.link import Control, InProcessLink, Link
from intra_dp_ros.wire.shaper import TraceShaper


class InProcessServer:
    """``IntraDP(model, connect=InProcessServer(folder))``.

    Args:
        folder: the server's cache of graphs, weights and profiles on disk.
        device: of torch, for the server's part.
        shaper: the emulated air between both; None: as fast as memory.
    """

    def __init__(self, folder: str, device: str = "cpu", shaper: Optional[TraceShaper] = None) -> None:
        self._shaper = shaper
        self._ends: Dict[str, Link] = {}  # by robot id: the server's
        self.server = Server(folder, self._ends.__getitem__, device)

    def __call__(self, robot_id: str) -> Tuple[Link, Control]:
        """The robot's ends of a new link."""
        robot_end, self._ends[robot_id] = InProcessLink.pair(self._shaper)
        return robot_end, self.server

    def close(self) -> None:
        """End all sessions."""
        self.server.close()
        for link in self._ends.values():
            link.close()
