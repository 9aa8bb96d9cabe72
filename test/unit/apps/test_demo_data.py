"""Images for the demo's bag and the bandwidth trace."""
import csv
import os

import numpy as np
import pytest

from intra_dp_ros.apps.assets import asset_path
from intra_dp_ros.bench import trace

TRACE = os.path.join(os.path.dirname(__file__), "..", "..", "..", "config", "traces", "indoors_like.csv")


def test_the_trace_in_the_repository_is_what_its_generator_makes(tmp_path):
    assert trace.main([str(tmp_path / "again.csv")]) == 0
    with open(TRACE) as stream:
        assert stream.read() == (tmp_path / "again.csv").read_text()


def test_the_trace_is_like_an_indoor_link():
    with open(TRACE) as stream:
        rows = [(float(row["t_s"]), float(row["MBps"])) for row in csv.DictReader(stream)]
    times, values = np.array(rows).T
    assert len(rows) == 600 and np.allclose(np.diff(times), 0.1) and times[0] == 0.0
    assert values.sum() == pytest.approx(600 * 11.625, abs=1e-6)
    assert values.min() >= 1.0 and values.max() <= 29.0 and 3.0 < values.std() < 6.0
    low = np.diff(np.concatenate(([0], values <= 3.5, [0])).astype(int))
    lengths = (np.flatnonzero(low == -1) - np.flatnonzero(low == 1)) * 0.1
    assert sum((lengths >= 0.4) & (lengths <= 1.6)) >= 3
    centred = values - values.mean()
    assert (centred[:-1] * centred[1:]).mean() / values.var() > 0.85


@pytest.mark.parametrize("seed", range(5))
def test_other_seeds_keep_the_mean(seed):
    _, values = trace.indoors_like(30.0, seed)
    assert values.sum() == pytest.approx(300 * 11.625, abs=1e-6) and values.min() >= 1.0 and values.max() <= 29.0
    with pytest.raises(ValueError, match="at least 10 s"):
        trace.indoors_like(1.0)


def test_synthetic_images_where_there_is_no_video(tmp_path, monkeypatch):
    bag = pytest.importorskip("intra_dp_ros.bench.bag", reason="OpenCV is not installed")
    monkeypatch.setenv("INTRA_DP_CACHE", str(tmp_path))
    source = bag.open_source()
    assert source.kind == bag.SYNTHETIC and "synthetic" in source.label
    frames = list(source.frames(5.0, 1.0))
    assert [round(t, 3) for t, _ in frames] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert all(image.shape == (source.height, source.width, 3) and image.dtype == np.uint8 for _, image in frames)
    assert np.array_equal(frames[1][1], bag.synthetic_image(2)) and not np.array_equal(frames[0][1], frames[1][1])
    with pytest.raises(ValueError, match="positive"):
        next(source.frames(0.0, 1.0))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(OSError, match="no video"):
        bag.open_source(str(tmp_path / "text.avi"))


def make_video(cv2, path, count=4, fps=10.0):
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write a video")
    for i in range(count):
        writer.write(np.full((48, 64, 3), 40 * (i + 1), np.uint8))
    writer.release()


@pytest.mark.parametrize("fps, expected", [(10.0, [1, 2, 3, 4, 1, 2, 3, 4]), (5.0, [1, 3, 1, 3]),
                                           (20.0, [1, 1, 2, 2, 3, 3, 4, 4, 1, 1, 2, 2, 3, 3, 4, 4])])
def test_videos_are_resampled_and_start_again(tmp_path, fps, expected):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    from intra_dp_ros.bench import bag
    path = str(tmp_path / "four.avi")
    make_video(cv2, path)
    source = bag.open_source(path)
    assert (source.kind, source.height, source.width, source.fps) == (bag.VIDEO, 48, 64, 10.0)
    assert [int(round(image.mean() / 40.0)) for _, image in source.frames(fps, 0.8)] == expected


def test_a_bag_holds_stamped_images(tmp_path):
    rosbag = pytest.importorskip("rosbag", reason="rosbag is not installed")
    pytest.importorskip("sensor_msgs.msg", reason="sensor_msgs is not installed")
    from intra_dp_ros.ros.bag_writer import write_bag
    images = [np.full((4, 6, 3), i, np.uint8) for i in range(3)]
    path = str(tmp_path / "camera.bag")
    assert write_bag(path, [(i / 10.0, image) for i, image in enumerate(images)], "/camera", "optical") == 3
    with rosbag.Bag(path) as bag:
        found = list(bag.read_messages())
    assert os.listdir(str(tmp_path)) == ["camera.bag"]
    for i, (topic, message, stamp) in enumerate(found):
        assert topic == "/camera" and message.header.stamp == stamp and message.header.frame_id == "optical"
        assert (message.encoding, message.step, message.height, message.width) == ("rgb8", 18, 4, 6)
        assert message.data == images[i].tobytes()
        assert (stamp - found[0][2]).to_sec() == pytest.approx(i / 10.0)


@pytest.mark.skipif(asset_path("vtest.avi") is None,
                    reason="the video is not in the cache: python3 -m intra_dp_ros.apps.assets")
def test_the_default_source_is_the_pedestrians():
    bag = pytest.importorskip("intra_dp_ros.bench.bag", reason="OpenCV is not installed")
    source = bag.open_source()
    assert (source.kind, source.height, source.width) == (bag.VIDEO, 576, 768) and source.count > 700
