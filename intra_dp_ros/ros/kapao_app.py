"""People tracking with the topics of KAPAO's node: people in the image, where one of them stands, where to follow to.

Threading: colour and depth come on rospy's threads, which only pair them; everything in space is worked out on the
painting thread, because it waits for tf.
"""
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Collection, Dict, List, Optional, Sequence, Tuple

import numpy as np
import rospy
from geometry_msgs.msg import PointStamped, PoseStamped
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import MarkerArray

from intra_dp_ros.apps.follow import Target, follow_goal, quaternion_of
from intra_dp_ros.apps.models import LoadedModel
from intra_dp_ros.apps.pairing import Pairing
from intra_dp_ros.apps.person_point import Intrinsics, PersonPoint, keypoint_points, person_point
from intra_dp_ros.apps.tracking import Track
from intra_dp_ros.ros.application import Job, remapping
from intra_dp_ros.ros.camera import INPUT_BUFFER_BYTES
from intra_dp_ros.ros.complaints import Complaints
from intra_dp_ros.ros.conversions import InputError
from intra_dp_ros.ros.depth import depth_from_msg, intrinsics_from_msg
from intra_dp_ros.ros.diagnostics import WARN
from intra_dp_ros.ros.frames import Frames, Transform, TransformError
from intra_dp_ros.ros.people_app import PeopleApp, seconds_of
from intra_dp_ros.ros.people_markers import Placed, people_to_markers

_NO_DEPTH_S = 1.0  # without a depth image that fits: colour goes on alone
_PAUSE_S = 5.0  # without any image: the camera, or the bag, began again, and depth may be the later one to connect
_NO_INFO_S = 2.0  # without camera_info although depth comes: say so


@dataclass(frozen=True)
class KapaoParams:
    """Units as in `KapaoApp`'s docstring."""

    threshold: float
    transport: str
    slop_s: float
    target_frame: str
    follow_distance: float
    publish_goal: bool
    goal_rate: float
    patience_s: float


class KapaoApp(PeopleApp):
    """People in colour images, and in space where depth comes with them.

    Subscribes:
        camera/rgb/image_raw (sensor_msgs/Image), camera/rgb/image_raw/compressed (sensor_msgs/CompressedImage): either.
        camera/depth/image_raw (sensor_msgs/Image, 16UC1 [mm] or 32FC1 [m]): registered to the colour image, of its
            size; without it only what needs no depth is published.
        camera/depth/camera_info (sensor_msgs/CameraInfo), /tf, /tf_static.
    Publishes:
        people (People), kapao_pose (sensor_msgs/Image, rgb8): the image with the people drawn in.
        person_point (geometry_msgs/PointStamped): the person who is followed, in `~target_frame`, in the image's frame
            where tf does not know the way.
        move_base_simple/goal (geometry_msgs/PoseStamped): `~follow_distance` before that person, facing them, in
            `~target_frame`; only with `~publish_goal`.
        people_markers (visualization_msgs/MarkerArray): everybody with a depth, in the image's frame.
    Parameters:
        ~threshold (double, -1): least score of a person, 0..1; -1: the model's default.
        ~image_transport (string, both): which of the two image topics is subscribed to: raw, compressed or both.
        ~slop (double, 0.1) [s]: the most that stamps of colour and depth may differ.
        ~target_frame (string, map): z up.
        ~publish_goal (bool, false): a robot that runs move_base drives to these goals.
        ~follow_distance (double, 1.2) [m], ~goal_rate (double, 1) [Hz]: the most goals a second.
        ~patience (double, 2) [s]: how long somebody may be out of sight and still be known.
    """

    def __init__(self, model: LoadedModel, settings: KapaoParams) -> None:
        super().__init__(model, settings.threshold, settings.transport, settings.patience_s, "camera/rgb/image_raw",
                         "kapao_pose")
        self.settings = settings
        self._pairing = Pairing(settings.slop_s)
        self._lock = threading.Lock()  # covers all down to `_first_depth`: colour and depth are two threads
        self._last_pair = 0.0  # monotonic [s]; 0: none yet
        self._last_image = self._last_depth = 0.0  # likewise
        self._waits = 0.0  # since when images find no depth; 0: they do
        self._images_seen = 0
        self._alone = 0  # number of the newest image that went on without depth, see _on_depth
        self._first_depth = 0.0
        self._camera_info: Optional[CameraInfo] = None
        self._target = Target(settings.patience_s)
        self._next_goal = 0.0

    def setup(self, accept: Callable[[Any], None], complaints: Complaints) -> None:
        self._accept = accept
        self._point = rospy.Publisher("person_point", PointStamped, queue_size=10)
        self._goal = rospy.Publisher("move_base_simple/goal", PoseStamped, queue_size=2)
        self._markers = rospy.Publisher("people_markers", MarkerArray, queue_size=2)
        self._frames = Frames()
        self._depth = rospy.Subscriber("camera/depth/image_raw", Image, self._on_depth,
                                       buff_size=INPUT_BUFFER_BYTES, tcp_nodelay=True)
        self._info = rospy.Subscriber("camera/depth/camera_info", CameraInfo, self._on_info, queue_size=2)
        super().setup(self._on_colour, complaints)

    def wanted(self) -> bool:
        return super().wanted() or any(p.get_num_connections() for p in (self._point, self._markers)) or (
            self.settings.publish_goal and self._goal.get_num_connections() > 0)

    def banner(self) -> str:
        return "{}, overlay on {}, goals {}".format(super().banner(), self._overlay.resolved_name, "on {}".format(
            self._goal.resolved_name) if self.settings.publish_goal else "off (~publish_goal)")

    def values(self) -> Dict[str, Any]:
        return {**super().values(), "person followed": self._target.track or "",
                "depth": "yes" if time.monotonic() - self._last_pair < _NO_DEPTH_S and self._last_pair else "no",
                "goals": "on" if self.settings.publish_goal else "off"}

    def _on_info(self, msg: CameraInfo) -> None:
        self._camera_info = msg

    def _on_colour(self, msg: Any) -> None:
        now, is_alone = time.monotonic(), False
        with self._lock:
            self._images_seen += 1
            number = self._images_seen
        pair = self._pairing.add(0, msg.header.stamp.to_sec(), (number, msg))
        with self._lock:
            if now - self._last_image > _PAUSE_S:
                self._waits = 0.0
            self._last_image = now
            if pair is not None:
                self._last_pair, self._waits = now, 0.0
            else:
                self._waits = self._waits or now
                if now - self._waits > _NO_DEPTH_S or not self._depth.get_num_connections():
                    self._alone, is_alone = number, True
        if pair is not None:
            self._accept((msg, pair[1]))
        elif is_alone:
            self._accept((msg, None))
            self._say_no_depth(now)

    def _on_depth(self, msg: Image) -> None:
        now, pair = time.monotonic(), self._pairing.add(1, msg.header.stamp.to_sec(), msg)
        with self._lock:
            is_rare = self._last_depth > 0.0 and now - self._last_depth > _NO_DEPTH_S
            self._first_depth, self._last_depth = self._first_depth or now, now
            if pair is None:
                return
            self._last_pair = now
            # Depth that comes late, for the first time: the image it belongs to did not wait.
            number, image = pair[0]
            done = number <= self._alone
            if not (done and is_rare):  # images need not wait for depth that comes less often than they would
                self._waits = 0.0
        if not done:
            self._accept((image, msg))

    def _say_no_depth(self, now: float) -> None:
        if now - self._waits <= _NO_DEPTH_S:
            return
        name, gap = self._depth.resolved_name, self._pairing.gap()
        if not self._depth.get_num_connections():
            why = "nobody publishes {}; remap it: {}".format(
                name, remapping("depth", "camera/depth/image_raw", "/your/depth/topic"))
        elif gap is None:
            why = "nothing comes on {}".format(name)
        else:
            why = "the stamps on {} are {:.2f} s from those of the images, at most {:g} s are allowed (~slop)".format(
                name, gap, self.settings.slop_s)
        self._complaints.say("people without their place in space: {}".format(why), WARN)

    def prepare(self, item: Tuple[Any, Optional[Image]]) -> Job:
        return super().prepare(item[0], item[1])

    def paint(self, job: Job, result: List[Track]) -> None:
        depth, camera = self._space(job)
        placed: List[Placed] = []
        if depth is not None and camera is not None:
            points = {track.id: person_point(depth, track.person, camera) for track in result}
            known = {number: point for number, point in points.items() if point is not None}
            self._lead(job, known, points)
            if self._markers.get_num_connections():
                placed = [(t, known[t.id], keypoint_points(depth, t.person, camera, known[t.id]))
                          for t in result if t.id in known]
        if self._markers.get_num_connections():
            self._markers.publish(people_to_markers(placed, job.header))
        super().paint(job, result)

    def _space(self, job: Job) -> Tuple[Optional[np.ndarray], Optional[Intrinsics]]:
        """Depth [m] and camera of an image; None where they are missing or do not fit, which is said."""
        message, info = job.context.extra, self._camera_info
        if message is None:
            return None, None
        height, width = job.context.rgb.shape[:2]
        try:
            depth = depth_from_msg(message)
            if depth.shape != (height, width):
                raise InputError("a depth image of {}x{} for a colour image of {}x{}: register depth to colour".format(
                    depth.shape[1], depth.shape[0], width, height))
            if info is None:
                if time.monotonic() - self._first_depth > _NO_INFO_S:
                    raise InputError("no camera_info on {} ({} publishers); remap it: {}".format(
                        self._info.resolved_name, self._info.get_num_connections(),
                        remapping("camera_info", "camera/depth/camera_info", "/your/camera_info")))
                return None, None
            camera = intrinsics_from_msg(info)
            if (camera.height, camera.width) not in ((height, width), (0, 0)):
                raise InputError("camera_info is for {}x{}, the images are {}x{}".format(
                    camera.width, camera.height, width, height))
        except InputError as error:
            self._complaints.say("people without their place in space: {}".format(error))
            return None, None
        return depth, camera

    def _lead(self, job: Job, points: Dict[int, PersonPoint], visible: Collection[int]) -> None:
        """Publish where the person who is followed is, and where to go."""
        stamp, settings = job.header.stamp, self.settings
        distances = {number: float(np.linalg.norm((p.x, p.y, p.z))) for number, p in points.items()}
        chosen = self._target.choose(distances, seconds_of(stamp), visible)
        if chosen is None or not (self._point.get_num_connections() or settings.publish_goal):
            return
        found = points[chosen]
        place, frame_id = (found.x, found.y, found.z), job.header.frame_id
        try:
            transform = self._frames.find(settings.target_frame, frame_id, stamp)
        except TransformError as error:
            transform = None
            self._complaints.say("person_point is in the camera's frame{}: {}".format(
                ", there are no goals" if settings.publish_goal else "", error), WARN)
        if transform is not None:
            place, frame_id = transform(place), settings.target_frame
        out = PointStamped()
        out.header.stamp, out.header.frame_id = stamp, frame_id
        out.point.x, out.point.y, out.point.z = place
        self._point.publish(out)
        if transform is not None and settings.publish_goal and time.monotonic() >= self._next_goal:
            self._next_goal = time.monotonic() + 1.0 / settings.goal_rate
            self._publish_goal(place, transform, stamp)

    def _publish_goal(self, person: Sequence[float], transform: Transform, stamp: rospy.Time) -> None:
        goal = follow_goal(person[:2], transform.translation[:2], self.settings.follow_distance)
        if goal is None:
            return
        out = PoseStamped()
        out.header.stamp, out.header.frame_id = stamp, self.settings.target_frame
        out.pose.position.x, out.pose.position.y = goal.x, goal.y
        turn = out.pose.orientation
        turn.x, turn.y, turn.z, turn.w = quaternion_of(goal.yaw)
        self._goal.publish(out)
