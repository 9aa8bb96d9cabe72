"""What a soak sends, and how it tells that results are the unsplit model's."""
import numpy as np
import pytest

pytest.importorskip("intra_dp_ros.msg")
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from intra_dp_ros.apps.people import PersonDetection, PersonKeypoint  # noqa: E402
from intra_dp_ros.apps.tracking import Track  # noqa: E402
from intra_dp_ros.apps.voxels import Grid, points_of, predicted  # noqa: E402
from intra_dp_ros.ros import soak, soak_inputs  # noqa: E402
from intra_dp_ros.ros.conversions import people_to_msg  # noqa: E402
from intra_dp_ros.ros.point_clouds import CloudError, cloud_to_msg  # noqa: E402
from intra_dp_ros.ros.soak_inputs import SOAK_APPS, claimed_classes, moments_of, people_difference  # noqa: E402

GRID = Grid((8, 8, 32), 0.4, (-1.6, -1.6, -0.4))
PEOPLE = [PersonDetection(0.9, (10.0, 20.0, 50.0, 90.0), (PersonKeypoint("nose", 30.0, 25.0, 0.8),)),
          PersonDetection(0.5, (100.0, 20.0, 150.0, 90.0), (PersonKeypoint("nose", 130.0, 25.0, 0.7),))]


def message(people):
    return people_to_msg([Track(i, 0.0, p) for i, p in enumerate(people)], Header(), 1, 960, 640, "model", "random")


def moved(person, **changes):
    values = dict(score=person.score, box=person.box, keypoints=person.keypoints)
    values.update(changes)
    return PersonDetection(**values)


def test_the_same_people_but_for_rounding():
    close = [moved(p, score=p.score + 2e-6, box=tuple(v + 2e-4 for v in p.box)) for p in PEOPLE]
    assert people_difference(message(PEOPLE), PEOPLE) == people_difference(message(close), PEOPLE) == ""
    assert people_difference(message([]), []) == ""


@pytest.mark.parametrize("people, words", [
    (PEOPLE[:1], "1 people instead of 2"), (PEOPLE[::-1], "person 0 has the score 0.50000 instead of 0.90000"),
    ([moved(PEOPLE[0], score=0.901), PEOPLE[1]], "score 0.90100"),
    ([PEOPLE[0], moved(PEOPLE[1], box=(100.0, 21.0, 150.0, 90.0))], "person 1 is 1.00 pixels away"),
    ([PEOPLE[0], moved(PEOPLE[1], keypoints=(PersonKeypoint("nose", 130.0, 25.5, 0.7),))], "person 1 is 0.50 pixels"),
    ([PEOPLE[0], moved(PEOPLE[1], keypoints=())], "person 1 has 0 keypoints instead of 1")])
def test_other_people(people, words):
    assert words in people_difference(message(people), PEOPLE)


def volumes(seed=0):
    random = np.random.RandomState(seed)
    occupancy = (random.random_sample(GRID.shape) < 0.1).astype(np.uint8)
    return occupancy, (random.randint(0, 20, GRID.shape[1:]) * (random.random_sample(GRID.shape[1:]) < 0.2)).astype(
        np.uint8)


def published(occupancy, classes):
    cells, kinds = predicted(occupancy, classes, GRID)
    return cloud_to_msg(points_of(cells, GRID, centres=False), Header(), intensity=kinds)


def test_classes_from_what_is_published():
    occupancy, classes = volumes()
    np.testing.assert_array_equal(claimed_classes(published(occupancy, classes), occupancy, classes, GRID), classes)
    other = classes.copy()
    unseen = np.argwhere((occupancy[0] == 0) & (classes > 0))
    other[tuple(unseen[0])] = 0
    other[tuple(unseen[1])] = classes[tuple(unseen[1])] % 19 + 1
    found = claimed_classes(published(occupancy, other), occupancy, classes, GRID)
    assert (found != classes).sum() == 2
    np.testing.assert_array_equal(found, other)


def test_nothing_is_added():
    occupancy, classes = volumes()
    found = claimed_classes(cloud_to_msg(np.empty((0, 3), np.float32), Header()), occupancy, classes, GRID)
    assert (found != classes).sum() == ((classes > 0) & (occupancy[0] == 0)).sum()


def test_points_that_no_cell_has():
    occupancy, classes = volumes()
    for points, words in ((np.float32([[0.1, 0.0, 0.0]]), "no corners"), (np.float32([[9.6, 0.0, 0.0]]), "no corners")):
        with pytest.raises(CloudError, match=words):
            claimed_classes(cloud_to_msg(points, Header(), intensity=np.ones(1)), occupancy, classes, GRID)
    hit = np.argwhere(occupancy[0, 0])[0]
    corner = points_of(hit[[0, 2, 1]][None], GRID, centres=False)
    with pytest.raises(CloudError, match="lidar hit"):
        claimed_classes(cloud_to_msg(corner, Header(), intensity=np.ones(1)), occupancy, classes, GRID)


def test_moments():
    frames = [Image(encoding=name) for name in "abc"]
    once, moments = moments_of([(0.0, "/tf_static", TFMessage()), (0.0, "/depth", frames[0]),
                                (0.0, "/colour", frames[1]), (0.1, "/colour", frames[2])])
    assert list(once) == ["/tf_static"] and [list(m) for m in moments] == [["/depth", "/colour"], ["/colour"]]
    assert moments[1]["/colour"] is frames[2]


def test_clouds_of_the_whole_grid():
    inputs = SOAK_APPS["agrnav"].make(2.0, (640, 960))
    assert "256x32x256" in inputs.words and len(inputs.moments) == 100 and "/tf_static" in inputs.once
    assert {tuple(m) for m in inputs.moments} == {("/tf", "/velodyne_points")}


def test_images_of_the_size_asked_for(monkeypatch):
    monkeypatch.setattr(soak_inputs, "_MOST_MOMENTS", 1)
    inputs = SOAK_APPS["kapao"].make(10.0, (320, 480))
    moment, = inputs.moments
    image = moment["/camera/rgb/image_raw"]
    assert (image.height, image.width, len(image.data)) == (320, 480, 320 * 480 * 3)
    assert moment["/camera/depth/image_raw"].width == moment["/camera/depth/camera_info"].width == 480


@pytest.mark.parametrize("arguments, words", [
    (["--seconds", "1"], "--seconds must be between 6"), (["--size", "640"], "not HEIGHTxWIDTH"),
    (["--rate", "-1"], "--rate"), (["--robot-slowdown", "0.5"], "--robot-slowdown"), (["--check-every", "0"], "check")])
def test_options_that_cannot_be(arguments, words, capsys):
    with pytest.raises(SystemExit):
        soak.parse(arguments + ["--from", "x"])
    assert words in capsys.readouterr().err


def test_defaults_by_application():
    options = [soak.parse(["--app", app, "--from", "x"]) for app in ("kapao", "agrnav")]
    assert [(o.model, o.rate, o.size) for o in options] == [
        ("movenet-multipose", 10.0, (640, 960)), ("sconet-style", 2.0, (640, 960))]
