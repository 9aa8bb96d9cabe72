"""Two lines in an existing program: ``from intra_dp_ros import IntraDP`` and ``model = IntraDP(model)``."""
import collections
import importlib
import logging
import os
from typing import Any, Callable, Optional, Tuple

import torch

from intra_dp_ros.graph.constants import dtype_name
from intra_dp_ros.graph.record import RecordingError, record, unflatten
from intra_dp_ros.graph.structure import leaves
from intra_dp_ros.runtime.robot import Robot, RobotConfig
from intra_dp_ros.runtime.stats import FrameStats
from intra_dp_ros.wire.link import Control, Link

_LOG = logging.getLogger(__name__)
Connect = Callable[[str], Optional[Tuple[Link, Control]]]  # robot id -> the robot's ends; None: no way to a server
_GRAPHS = 4  # input shapes kept ready; the least recently used goes first


class IntraDP:
    """A model that is called as before, and runs split with a server when that is faster.

    The first call with inputs of a shape records the model (paper, Algorithm 1) and measures its operators; later calls
    with that shape replay the record.  A model that cannot be recorded runs as it is, and a warning says why.

    Args:
        model: in eval mode; neither changed nor copied.
        config: see `RobotConfig`; its robot_id must be unique among the robots of a server.
        connect: how to reach the server; default: over ROS topics, where ROS is there.
        folder: cache of profiles and plans on disk.

    Attributes:
        stats: of the last call, None when it was not replayed.
    """

    def __init__(self, model: Callable, config: RobotConfig = RobotConfig(), connect: Optional[Connect] = None,
                 folder: str = os.path.join("~", ".cache", "intra_dp_ros", "robot")) -> None:
        self.model = model
        self.stats: Optional[FrameStats] = None
        self._config = config
        self._connect = connect or _over_ros
        self._folder = folder
        self._robots: "collections.OrderedDict[Any, Any]" = collections.OrderedDict()  # by shapes
        self._made = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result, nested as the model nests it, on the CPU."""
        tensors = leaves((args, kwargs))
        plain = tuple(repr(a) for a in (*args, *sorted(kwargs.items())) if not leaves(a))
        key = (tuple((tuple(t.shape), dtype_name(t)) for t in tensors), tuple(sorted(kwargs)), plain)
        if key not in self._robots:
            self._add(key, args, kwargs)
        self._robots.move_to_end(key)
        robot, _, structure = self._robots[key]
        if robot is None:
            self.stats = None
            with torch.inference_mode():
                return self.model(*args, **kwargs)
        done = robot.infer(tensors)
        self.stats = done.stats
        return unflatten(structure, done.outputs)

    def close(self) -> None:
        """Leave the server."""
        while self._robots:
            self._drop()

    def _add(self, key: Any, args: Any, kwargs: Any) -> None:
        try:
            recording = record(self.model, args, kwargs)
        except RecordingError as error:
            _LOG.warning("the model runs as it is, not split: %s", error)
            self._robots[key] = (None, None, None)
            return
        while len(self._robots) >= _GRAPHS:
            self._drop()
        self._made += 1
        robot_id = self._config.robot_id + ("_{}".format(self._made) if self._made > 1 else "")
        config = RobotConfig(**{**vars(self._config), "robot_id": robot_id})
        robot, ends = Robot(recording, self._folder, config), self._connect(robot_id)
        if ends is not None:
            robot.connect(*ends)
        self._robots[key] = (robot, ends[0] if ends is not None else None, recording.graph.structure)

    def _drop(self) -> None:
        robot, link, _ = self._robots.popitem(last=False)[1]
        if robot is not None:
            robot.close()
        if link is not None:
            link.close()


def _over_ros(robot_id: str) -> Optional[Tuple[Link, Control]]:
    """The ROS layer, found by name: nothing below it imports it, and without ROS the model runs locally."""
    try:
        connect = importlib.import_module("intra_dp_ros.ros.connect").connect
    except ImportError as error:
        _LOG.warning("no ROS here (%s): the model runs on this machine alone", error)
        return None
    return connect(robot_id)
