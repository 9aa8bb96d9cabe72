"""Semantic scene completion with the topics of AGRNav's node: clouds in, what the network adds to them out."""
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import rospy
import torch
from rospy.numpy_msg import numpy_msg
from sensor_msgs.msg import Image, LaserScan, PointCloud2
from std_msgs.msg import Float64MultiArray, Header
from visualization_msgs.msg import MarkerArray

from intra_dp_ros.apps.models import LoadedModel, ModelError
from intra_dp_ros.apps.voxel_pictures import before_after, class_colours
from intra_dp_ros.apps.voxels import (Grid, OccupiedSpace, cells_of, occupied_space, planner_coordinates, points_of,
                                      predicted, volume, voxelise)
from intra_dp_ros.msg import OccupiedSpace as OccupiedSpaceMsg
from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.application import Application, Job, remapping
from intra_dp_ros.ros.camera import INPUT_BUFFER_BYTES
from intra_dp_ros.ros.completion_markers import completion_to_markers
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.ros.frames import Frames, TransformError
from intra_dp_ros.ros.point_clouds import CloudError, EmptyCloud, cloud_to_msg, points_from_cloud, points_from_scan

#: Values of ~input, and the topics they stand for.
CLOUD, SCAN = "cloud", "scan"
_TOPICS = {CLOUD: "/sdf_map/occupancy_inflate", SCAN: "scan"}


_Coordinates = numpy_msg(Float64MultiArray)  # the plain one would be written number by number


@dataclass(frozen=True)
class CompletionParams:
    """Units as in `CompletionApp`'s docstring."""

    input: str
    frame: str
    cell_size: float
    origin: Tuple[float, float, float]
    cell_centres: bool


@dataclass(frozen=True)
class View:
    """One volume on its way through the model."""

    occupancy: np.ndarray  # uint8 [1, 1, X, Z, Y]
    header: Header  # stamp of the input, frame of the grid
    began: float  # monotonic [s]


class CompletionApp(Application):
    """Answers every cloud with what the network says is in the grid.

    Subscribes:
        /sdf_map/occupancy_inflate (sensor_msgs/PointCloud2): any fields beside x, y, z; remap it to your map or lidar.
        scan (sensor_msgs/LaserScan): instead, with `~input` scan.  /tf, /tf_static: with `~frame`.
    Publishes, all with the stamp of the input and the frame of the grid where they have a header:
        sconet_pred (sensor_msgs/PointCloud2; x, y, z, intensity): cells that the network calls occupied and that the
            cloud did not hit; intensity is the class.
        /non_intersection_coordinates (std_msgs/Float64MultiArray): the same cells as flat triples of cell indices
            x, y, z, as AGRNav's planner takes them; empty where the network adds nothing.
        occupied_space (OccupiedSpace): cells before and after.
        completed_cloud (sensor_msgs/PointCloud2; x, y, z, rgb), completion_markers (visualization_msgs/MarkerArray):
            all occupied cells in the colours of their classes, for rviz; top_view (sensor_msgs/Image, rgb8): the volume
            from above, before and after.  These three are made only while somebody listens.
    Parameters:
        ~input (string, cloud): cloud or scan.
        ~frame (string, ''): frame of the grid; empty: the frame of each input, and no tf.
        ~cell_size (double, 0.1) [m]; ~origin_x, ~origin_y, ~origin_z (double, -10, -10, -0.1) [m]: the grid's lower
            corner in its frame.
        ~cell_centres (bool, false): points of sconet_pred in the middle of their cells; else in the lower corner, as
            the published robot's node has them.

    Args:
        model: takes one uint8 volume `[1, 1, X, Z, Y]`, gives classes `[1, X, Z, Y]` of whole numbers.

    Raises:
        ModelError: another model.
        ValueError: a grid that cannot be.
    """

    def __init__(self, model: LoadedModel, settings: CompletionParams) -> None:
        self.model = model
        self.settings = settings
        self.grid = grid_of(model, settings.cell_size, settings.origin)
        self._frames: Optional[Frames] = None
        self._space: Optional[OccupiedSpace] = None  # of the last answer
        self._voxelise_s = 0.0
        self._lock = threading.Lock()  # covers the next, and what it is about is published under it
        self._cleared = 0.0  # when what is shown was last cleared; monotonic [s]

    def setup(self, accept: Callable[[Any], None], complaints: Complaints) -> None:
        self._predicted = rospy.Publisher("sconet_pred", PointCloud2, queue_size=2)
        self._coordinates = rospy.Publisher("/non_intersection_coordinates", _Coordinates, queue_size=2)
        self._statistics = rospy.Publisher("occupied_space", OccupiedSpaceMsg, queue_size=10)
        self._cloud = rospy.Publisher("completed_cloud", PointCloud2, queue_size=2)
        self._markers = rospy.Publisher("completion_markers", MarkerArray, queue_size=2)
        self._view = rospy.Publisher("top_view", Image, queue_size=2)
        if self.settings.frame:
            self._frames = Frames()
        self._input = rospy.Subscriber(_TOPICS[self.settings.input],
                                       PointCloud2 if self.settings.input == CLOUD else LaserScan, accept,
                                       buff_size=INPUT_BUFFER_BYTES, tcp_nodelay=True)

    def wanted(self) -> bool:
        return any(p.get_num_connections() for p in (self._predicted, self._coordinates, self._statistics, self._cloud,
                                                     self._markers, self._view))

    def waits_for(self) -> Tuple[str, str, int]:
        kind = self.settings.input
        return (self._input.resolved_name, remapping(kind, _TOPICS[kind], "/your/{}/topic".format(kind)),
                self._input.get_num_connections())

    def banner(self) -> str:
        x, y, z = self.grid.cells
        return "{}x{}x{} cells of {:g} m from ({:g}, {:g}, {:g}) in {}, additions on {} and {}".format(
            x, y, z, self.grid.size, *self.grid.origin, self.settings.frame or "the input's frame",
            self._predicted.resolved_name, self._coordinates.resolved_name)

    def values(self) -> Dict[str, Any]:
        return {"occupied space": self._space.sentence if self._space is not None else "",
                "voxelising [ms]": self._voxelise_s * 1e3}

    def prepare(self, item: Any) -> Job:
        began = time.monotonic()
        header = Header(stamp=item.header.stamp, frame_id=self.settings.frame or item.header.frame_id)
        try:
            occupancy = self._occupancy(item, header.frame_id)
        except EmptyCloud:
            self._clear(header)
            raise
        self._voxelise_s = time.monotonic() - began
        return Job(item.header, (torch.from_numpy(occupancy),), View(occupancy, header, began))

    def _occupancy(self, item: Any, frame_id: str) -> np.ndarray:
        points = points_from_cloud(item)[0] if self.settings.input == CLOUD else points_from_scan(item)
        occupancy = voxelise(self._in_grid_frame(points, item.header), self.grid)
        if occupancy.any():
            return occupancy
        if not np.isfinite(points).all(axis=1).any():
            raise CloudError("none of the {} points is finite".format(len(points)))
        low = np.array(self.grid.origin)
        raise EmptyCloud("none of the {} points is in the grid from ({:g}, {:g}, {:g}) to ({:g}, {:g}, {:g}) m in {}"
                         .format(len(points), *low, *(low + np.array(self.grid.cells) * self.grid.size), frame_id))

    def _clear(self, header: Header) -> None:
        """Nothing is seen in the grid, so nothing is added: planners and rviz must not keep what was."""
        self._coordinates.publish(_Coordinates(data=np.zeros(0)))
        points, kinds = np.zeros((0, 3), np.float32), np.zeros(0, np.uint8)
        self._predicted.publish(cloud_to_msg(points, header, intensity=kinds))
        with self._lock:
            self._cleared = time.monotonic()
            self._cloud.publish(cloud_to_msg(points, header, rgb=class_colours(kinds)))
            self._markers.publish(completion_to_markers(points, kinds, self.grid.size, header))

    def _in_grid_frame(self, points: np.ndarray, header: Header) -> np.ndarray:
        if self._frames is None or header.frame_id.lstrip("/") == self.settings.frame.lstrip("/"):
            return points
        try:
            found = self._frames.find(self.settings.frame, header.frame_id, header.stamp)
        except TransformError as error:
            raise CloudError("{}; publish it, or set ~frame to '' for a grid in the frame of the input".format(
                error)) from None
        return points @ found.rotation.T.astype(points.dtype) + found.translation.astype(points.dtype)

    def publish(self, job: Job, outputs: Sequence[torch.Tensor], frame: int) -> Tuple[np.ndarray, OccupiedSpace]:
        view = job.context
        classes = outputs[0].numpy()
        cells, kinds = predicted(view.occupancy, classes, self.grid)
        self._coordinates.publish(_Coordinates(data=planner_coordinates(cells)))
        self._predicted.publish(cloud_to_msg(points_of(cells, self.grid, self.settings.cell_centres), view.header,
                                             intensity=kinds))
        self._space = space = occupied_space(view.occupancy, classes, self.grid)
        self._statistics.publish(space_to_msg(space, view.header))
        return classes, space

    def paint(self, job: Job, result: Tuple[np.ndarray, OccupiedSpace]) -> None:
        classes, space = result
        view, wants = job.context, {p: p.get_num_connections() for p in (self._cloud, self._markers, self._view)}
        if wants[self._view]:
            captions = ("cloud: {} cells".format(space.seen), "{} ({} weights): {} cells".format(
                self.model.name, self.model.weights, space.completed))
            self._view.publish(conversions.image_to_msg(before_after(view.occupancy, classes, captions, self.grid),
                                                        view.header))
        if wants[self._cloud] or wants[self._markers]:
            found = volume(classes, self.grid)
            cells = cells_of(found > 0)
            points, kinds = points_of(cells, self.grid), found[found > 0]
            messages: List[Tuple[rospy.Publisher, Any]] = []
            if wants[self._cloud]:
                messages.append((self._cloud, cloud_to_msg(points, view.header, rgb=class_colours(kinds))))
            if wants[self._markers]:
                messages.append((self._markers, completion_to_markers(points, kinds, self.grid.size, view.header)))
            with self._lock:  # a picture takes its time: what was cleared meanwhile stays clear
                for publisher, message in messages if view.began >= self._cleared else ():
                    publisher.publish(message)


def grid_of(model: LoadedModel, cell_size: float, origin: Tuple[float, float, float]) -> Grid:
    """The grid whose volumes a model takes.

    Raises:
        ModelError: it does not take one uint8 volume.
        ValueError: a grid that cannot be.
    """
    specs: List[Any] = list(model.input_specs)
    if len(specs) != 1 or specs[0].dtype != "uint8" or len(specs[0].shape) != 5 or specs[0].shape[:2] != (1, 1):
        raise ModelError("model {!r} does not take one uint8 volume [1, 1, X, Z, Y] but {}: try sconet-style".format(
            model.name, [(list(s.shape), s.dtype) for s in specs]))
    x, z, y = specs[0].shape[2:]
    return Grid((x, y, z), cell_size, origin)


def space_to_msg(space: OccupiedSpace, header: Header) -> OccupiedSpaceMsg:
    """`voxels.OccupiedSpace` -> OccupiedSpace."""
    return OccupiedSpaceMsg(header=header, seen=space.seen, completed=space.completed, kept=space.kept,
                            added=space.added, cell_volume=space.cell_volume, class_names=list(space.classes),
                            class_cells=list(space.classes.values()))
