"""What the demo makes of what it heard of a completion."""
import numpy as np
import pytest

pytest.importorskip("intra_dp_ros.msg")
import rosbag  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from intra_dp_ros.apps.voxel_pictures import before_after, class_colours  # noqa: E402
from intra_dp_ros.apps.voxels import Grid, cells_of, occupied_space, points_of, voxelise  # noqa: E402
from intra_dp_ros.bench.record import FrameSample  # noqa: E402
from intra_dp_ros.ros.cloud_bag import CLOUD_TOPIC  # noqa: E402
from intra_dp_ros.ros.completion_app import space_to_msg  # noqa: E402
from intra_dp_ros.ros.demo_apps import APPS, Heard  # noqa: E402
from intra_dp_ros.ros.point_clouds import CloudError, cloud_to_msg, colours_from_cloud  # noqa: E402

AGRNAV = APPS["agrnav"]
SAMPLE = FrameSample("intra_dp", 3, 1.0, 1.0, 100.0, 90.0, 80.0, "split", "", "SPLIT", "a plan", 11.0, 5, 5, 1.0, -1.0,
                     {})


def heard(cloud, kind):
    """Of a cloud whose cells all become this class."""
    grid = Grid((64, 64, 32), 0.4)
    occupancy = voxelise(cloud + np.array([0.0, 0.0, 2.2], np.float32), grid)
    classes = occupancy[0] * np.uint8(kind)
    mask = classes[0] > 0
    completed = cloud_to_msg(points_of(cells_of(mask), grid), Header(), rgb=class_colours(classes[0][mask]))
    return Heard(before_after(occupancy, classes, ("before", "after"), grid),
                 space_to_msg(occupied_space(occupancy, classes, grid), Header()),
                 {CLOUD_TOPIC: cloud_to_msg(cloud, Header()), "/completed_cloud": completed})


@pytest.mark.parametrize("kind", [5, 0])
def test_a_picture_of_a_completion(kind):
    cloud = np.array([[0.0, 0.0, -1.0], [3.0, 2.0, 0.0], [np.nan, 0.0, 0.0]], np.float32)
    caption, picture = AGRNAV.draw(heard(cloud, kind), SAMPLE)
    assert "2 cells seen, {} completed".format(2 if kind else 0) in caption
    assert picture.dtype == np.uint8 and picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    result = picture[30:400, picture.shape[1] // 2:]
    is_of_class = (result[..., 2] > 100) & (result[..., :2] == 0).all(2)  # 5 is blue, darker near the ground
    assert is_of_class.any() == bool(kind)


def test_no_picture_without_the_result():
    whole = heard(np.zeros((1, 3), np.float32), 5)
    assert AGRNAV.draw(Heard(whole.picture, whole.answer, {}), SAMPLE) is None


def test_colours_of_a_cloud():
    colours = np.array([[1, 2, 3], [255, 254, 253]], np.uint8)
    np.testing.assert_array_equal(colours_from_cloud(cloud_to_msg(np.zeros((2, 3), np.float32), Header(), rgb=colours)),
                                  colours)
    with pytest.raises(CloudError, match="no field rgb"):
        colours_from_cloud(PointCloud2())


def test_a_bag_of_clouds(tmp_path):
    path = str(tmp_path / "clouds.bag")
    assert AGRNAV.write(path, 2.0, 1.5) == 3 and "points" in AGRNAV.label()
    with rosbag.Bag(path) as bag:
        topics = bag.get_type_and_topic_info().topics
    assert topics[CLOUD_TOPIC].message_count == 3 and {"/tf", "/tf_static"} < set(topics)
