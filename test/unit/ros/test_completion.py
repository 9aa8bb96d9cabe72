"""The completion application's parts that need no master."""
import numpy as np
import pytest
import torch

pytest.importorskip("intra_dp_ros.msg")
from sensor_msgs.msg import LaserScan, PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from visualization_msgs.msg import Marker  # noqa: E402

from intra_dp_ros.apps.models import LoadedModel, ModelError, load_model  # noqa: E402
from intra_dp_ros.apps.loaders.base import InputSpec  # noqa: E402
from intra_dp_ros.apps.voxels import Grid, occupied_space, points_of  # noqa: E402
from intra_dp_ros.ros.completion_app import CompletionApp, CompletionParams, space_to_msg  # noqa: E402
from intra_dp_ros.ros.completion_markers import completion_to_markers  # noqa: E402
from intra_dp_ros.ros.conversions import InputError  # noqa: E402
from intra_dp_ros.ros.point_clouds import cloud_to_msg  # noqa: E402

GRID = Grid((16, 24, 32), 0.1, (-10.0, -10.0, -0.1))


def model(shape=GRID.shape, dtype="uint8"):
    return LoadedModel("made", torch.nn.Identity(), (InputSpec(shape, dtype),), "random", "", "", 0.0)


def app(kind="cloud"):
    return CompletionApp(model(), CompletionParams(kind, "", 0.1, GRID.origin, False))


def test_a_cloud_becomes_a_volume():
    cells = np.array([[0, 0, 0], [15, 23, 31], [3, 4, 5]])
    message = cloud_to_msg(points_of(cells, GRID), Header(frame_id="world"), intensity=np.arange(3))
    message.header.stamp.secs = 7
    job = app().prepare(message)
    volume, = job.inputs
    assert tuple(volume.shape) == (1, 1, 16, 32, 24) and volume.dtype == torch.uint8 and int(volume.sum()) == 3
    assert volume[0, 0, 3, 5, 4] == 1
    assert job.header is message.header and job.context.header.frame_id == "world"
    assert job.context.header.stamp.secs == 7


def test_a_laser_scan_becomes_a_volume():
    scan = LaserScan(header=Header(frame_id="laser"), angle_min=np.pi * 1.25, angle_increment=0.001, range_min=0.1,
                     range_max=20.0, ranges=[13.5] * 20)
    volume = app("scan").prepare(scan).inputs[0]
    assert volume[0, 0, :, 1].sum() == volume.sum() > 0


@pytest.mark.parametrize("points, words", [
    (np.full((4, 3), np.nan), "none of the 4 points is finite"),
    (np.full((2, 3), 50.0),
     r"none of the 2 points is in the grid from \(-10, -10, -0.1\) to \(-8.4, -7.6, 3.1\) m in map")])
def test_clouds_that_leave_the_grid_empty(points, words):
    seen = app()
    seen._coordinates, seen._predicted, seen._cloud, seen._markers = topics = [_Topic() for _ in range(4)]
    with pytest.raises(InputError, match=words):
        seen.prepare(cloud_to_msg(points.astype(np.float32), Header(frame_id="map")))
    cleared = np.isfinite(points).any()  # else nothing is known
    assert [len(topic.messages) for topic in topics] == [cleared] * 4
    with pytest.raises(InputError, match="no field x, y, z"):
        seen.prepare(PointCloud2())
    with pytest.raises(InputError, match="no points"):
        seen.prepare(cloud_to_msg(points[:0].astype(np.float32), Header(frame_id="map")))
    assert [len(topic.messages) for topic in topics] == [cleared + 1] * 4
    assert len(topics[0].messages[-1].data) == 0 and topics[1].messages[-1].width == 0
    assert [m.action for m in topics[3].messages[-1].markers] == [Marker.DELETEALL]


def test_a_scan_that_meets_nothing_clears_and_one_that_tells_nothing_does_not():
    seen = app("scan")
    seen._coordinates, seen._predicted, seen._cloud, seen._markers = topics = [_Topic() for _ in range(4)]
    scan = LaserScan(header=Header(frame_id="laser"), angle_increment=0.1, range_min=0.1, range_max=20.0)
    for scan.ranges, count in (([float("nan")] * 3, 0), ([float("inf"), float("nan")], 1), ([25.0], 2)):
        with pytest.raises(InputError, match="no return between 0.1 and 20 m"):
            seen.prepare(scan)
        assert [len(topic.messages) for topic in topics] == [count] * 4


def test_a_picture_does_not_bring_back_what_was_cleared():
    seen = app()
    seen._coordinates, seen._predicted, seen._cloud, seen._markers, seen._view = topics = [_Topic() for _ in range(5)]
    job = seen.prepare(cloud_to_msg(points_of(np.array([[3, 4, 5]]), GRID), Header(frame_id="map")))
    result = (np.ones((1, *GRID.shape[2:]), np.uint8), occupied_space(job.context.occupancy, np.ones(
        (1, *GRID.shape[2:]), np.uint8), GRID))
    seen.paint(job, result)
    assert [len(topic.messages) for topic in topics] == [0, 0, 1, 1, 1]
    with pytest.raises(InputError):
        seen.prepare(cloud_to_msg(np.zeros((0, 3), np.float32), Header(frame_id="map")))
    seen.paint(job, result)
    assert [topics[k].messages[-1].width for k in (1, 2)] == [0, 0] and len(topics[4].messages) == 2


class _Topic:
    def __init__(self):
        self.messages = []

    def publish(self, message):
        self.messages.append(message)

    def get_num_connections(self):
        return 1


@pytest.mark.parametrize("shape, dtype", [((1, 3, 64, 64), "uint8"), ((1, 1, 8, 32, 8), "float32")])
def test_models_for_something_else(shape, dtype):
    with pytest.raises(ModelError, match="one uint8 volume.*try sconet-style"):
        CompletionApp(model(shape, dtype), CompletionParams("cloud", "", 0.1, GRID.origin, False))


def test_weights_of_another_network(tmp_path):
    path = str(tmp_path / "other.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(ModelError, match="other.pt does not fit model 'sconet-style': it has no tensor"):
        load_model("sconet-style", path, shape=(1, 1, 16, 32, 16))


def test_statistics_message():
    occupancy, classes = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape[1:], np.uint8)
    occupancy[..., :2], classes[0, 0, 0, :5] = 1, 9
    header = Header(frame_id="world")
    message = space_to_msg(occupied_space(occupancy, classes, GRID), header)
    assert (message.seen, message.completed, message.kept, message.added) == (2 * 16 * 32, 5, 2, 3)
    assert (message.class_names, message.class_cells, message.header) == (["road"], [5], header)


def test_markers_are_thinned_out():
    points = np.random.RandomState(1).rand(50000, 3)
    classes = np.repeat([9, 13], 25000)
    found = completion_to_markers(points, classes, 0.1, Header(frame_id="world")).markers
    assert found[0].action == Marker.DELETEALL
    cubes = [m for m in found if m.type == Marker.CUBE_LIST and m.ns == "cells"]
    assert [m.id for m in cubes] == [9, 13] and 15000 < sum(len(m.points) for m in cubes) <= 20000
    assert any(m.text == "building: 25000 cells" for m in found)
    assert len(completion_to_markers(points[:0], classes[:0], 0.1, Header()).markers) == 1
