"""What codecs cost: assumed, sampled from real values, kept, and when it makes other plans."""
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.graph.record import record  # noqa: E402
from intra_dp_ros.lop.plan import LOSSLESS, VOLUMES  # noqa: E402
from intra_dp_ros.lop.tiling import Tiling  # noqa: E402
from intra_dp_ros.loss.link_model import LinkModel  # noqa: E402
from intra_dp_ros.loss.objective import Objective  # noqa: E402
from intra_dp_ros.loss.profile import Profile  # noqa: E402
from intra_dp_ros.loss.table import key  # noqa: E402
from intra_dp_ros.runtime import codec_sampler  # noqa: E402
from intra_dp_ros.runtime.codec_costs import are_alike, codec_costs, sampled  # noqa: E402
from intra_dp_ros.runtime.codec_sampler import CodecCosts  # noqa: E402
from intra_dp_ros.runtime.config import RobotConfig  # noqa: E402
from intra_dp_ros.runtime.in_process import InProcessServer  # noqa: E402
from intra_dp_ros.runtime.robot import Robot  # noqa: E402
from intra_dp_ros.wire.codec import CodecError, encode  # noqa: E402
from intra_dp_ros.wire.source import Source  # noqa: E402

WAIT_S = 60.0
NOISE = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (1, 96, 128, 3)).astype(np.uint8))
PLAIN = torch.full_like(NOISE, 90)


@pytest.fixture(scope="module")
def tiling():
    net = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    return Tiling(record(lambda x: net(x.permute(0, 3, 1, 2).float()).argmax(1).to(torch.uint8), (NOISE,)).graph)


def test_a_sample_is_what_really_travels(tiling):
    (image,), (classes,) = tiling.graph.inputs, tiling.graph.outputs
    some = torch.zeros(1, 96, 128, dtype=torch.uint8)
    for value in (NOISE, PLAIN):
        found = sampled(tiling, LOSSLESS, {image: value, classes: some})
        assert set(found) == {"png@{}".format(image), VOLUMES + "@{}".format(classes)}
        ratio, encode_s, decode_s = found["png@{}".format(image)]
        assert ratio == pytest.approx(len(encode("png", value.numpy())) / value.numel(), rel=0.1, abs=0.02)
        assert encode_s > 0 and decode_s > 0
    assert sampled(tiling, "raw", {image: NOISE}) == {}


def test_a_picture_travels_as_it_is(tiling):
    (image,) = tiling.graph.inputs
    source = Source(bytes(NOISE.numel() // 8), (96, 128), 0, False)
    assert sampled(tiling, "source", {image: NOISE}, source) == {"source@{}".format(image): (0.125, 0.0, 0.0)}
    assert sampled(tiling, "source", {image: NOISE}) == {}, "rows that were made of no picture travel raw"


def test_costs_are_other_ones_when_plans_would_be():
    costs = {"png": (0.5, 10e-9, 5e-9)}
    assert are_alike(costs, {"png": (0.54, 15e-9, 3e-9)})
    assert not are_alike(costs, {"png": (0.65, 10e-9, 5e-9)})
    assert not are_alike(costs, {"png": (0.5, 40e-9, 5e-9)})
    assert not are_alike(costs, {"png": (0.5, 10e-9, 5e-9), "png@0": (0.5, 10e-9, 5e-9)})
    assert are_alike({"bits": (0.01, 1e-11, 0.0)}, {"bits": (0.01, 9e-11, 0.0)}), "neither time is noticed"


def learn(costs, inputs, outputs=()):
    costs.offer(inputs, outputs, None)
    end = time.monotonic() + WAIT_S
    while costs._is_sampling:
        assert time.monotonic() < end
        time.sleep(0.002)
    return costs.take()


def test_frames_teach_and_the_next_start_knows(tiling, tmp_path):
    costs = CodecCosts(tiling, "png", str(tmp_path))
    assumed = costs.present
    assert set(assumed) == {"raw", "png"} and not costs.take()
    assert learn(costs, (NOISE,))
    name = "png@{}".format(tiling.graph.inputs[0])
    assert costs.present[name][0] > 0.9
    assert not learn(costs, (PLAIN,)), "samples are far between"
    again = CodecCosts(tiling, "png", str(tmp_path))
    assert again.present[name] == pytest.approx(costs.present[name])
    learn(again, (NOISE,))  # its times may be other ones on a busy machine
    assert again.present[name][0] == pytest.approx(costs.present[name][0])
    path = os.path.join(str(tmp_path), os.listdir(str(tmp_path))[0])
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"png@0": [1, 2]}')
    assert set(CodecCosts(tiling, "png", str(tmp_path)).present) == {"raw", "png"}, "a damaged file is no file"


def test_times_that_differ_once_change_nothing(tiling, tmp_path, monkeypatch):
    costs, name = CodecCosts(tiling, "png", str(tmp_path)), "png@{}".format(tiling.graph.inputs[0])
    found = {}
    monkeypatch.setattr(codec_sampler, "sampled", lambda *_: found)
    monkeypatch.setattr(codec_sampler, "_EVERY_S", 0.0)

    def says(ratio, write):
        found[name] = (ratio, write, 5e-9)
        return learn(costs, (NOISE,))
    assert says(0.5, 1e-8)
    assert not says(0.5, 4e-8) and costs.present[name][1] == 1e-8
    assert not says(0.5, 1e-8) and not says(0.5, 4e-8), "not twice running"
    assert says(0.5, 4e-8) and costs.present[name][1] == 4e-8
    assert says(0.3, 4e-8), "bytes count at once"


def test_another_codec_keeps_what_was_known(tiling, tmp_path):
    costs = CodecCosts(tiling, "png", str(tmp_path))
    learn(costs, (NOISE,))
    costs.use("raw")
    assert set(costs.present) == {"raw"} and "png" in costs.all, "older plans are still predicted"
    with pytest.raises(CodecError):
        costs.use("zip")
    assert costs.codec == "raw"
    costs.use(LOSSLESS)
    assert {"raw", "png", VOLUMES} <= set(costs.present)


def test_plans_on_disk_serve_costs_measured_anew(tiling):
    profile = Profile(tiling.graph.hash, "x", (1.0,) * len(tiling.rules), (1.0,) * len(tiling.rules))
    ratio, write, read = codec_costs("png")["png"]

    def name(r, w):
        return key(tiling, profile, profile, LinkModel(1e6, 1e6, codecs={"png": (r, w, read)}), "intra_dp")
    assert name(0.5, 1e-8) == name(0.5, 1.05e-8)
    assert name(0.5, 1e-8) != name(0.3, 1e-8)


def test_a_robot_plans_for_the_images_it_sees(tmp_path):
    """On images that do not compress, png never pays; the robot learns that from its first frames."""
    torch.set_num_threads(1)
    server = InProcessServer(str(tmp_path / "server"))
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, 2, 1))
    image = NOISE.permute(0, 3, 1, 2).contiguous()
    robot = Robot(record(lambda x: module(x.float()), (image,)), str(tmp_path / "robot"),
                  RobotConfig(strategy="intra_dp", slowdown=400.0, input_codec="png"))
    name = "png@{}".format(robot.engine.graph.inputs[0])
    try:
        robot.connect(*server("robot"))
        end = time.monotonic() + WAIT_S

        def run_until(is_done):
            while not is_done():
                assert time.monotonic() < end, robot.status()
                robot.infer((image,))
                time.sleep(0.01)

        run_until(lambda: name in robot._aim.codecs.present and not robot.status()["is_planning"])
        assert robot._aim.codecs.present[name][0] > 0.9
        plans = robot._planner.table("intra_dp").plans
        assert len(plans) > 1 and {t.codec for plan in plans for t in plan.transfers} == {"raw"}
        robot.aim(Objective(), LOSSLESS)  # a codec of several
        assert robot.config == replace(robot.config, input_codec=LOSSLESS)
        run_until(lambda: robot.infer((image,)).stats.outcome == "split")
    finally:
        robot.close()
        server.close()


def test_a_codec_that_does_not_take_the_inputs_is_refused(tmp_path, tiling):
    volume = Tiling(record(lambda x: x.float() * 2.0, (torch.zeros((1, 1, 8, 8, 8), dtype=torch.uint8),)).graph)
    with pytest.raises(CodecError, match="png cannot hold shape .*use raw or lz4"):
        CodecCosts(volume, "png", str(tmp_path))
    costs = CodecCosts(volume, "raw", str(tmp_path))
    with pytest.raises(CodecError, match="png cannot hold"):
        costs.use("png")
    assert costs.codec == "raw"
    for codec in (LOSSLESS, VOLUMES):
        costs.use(codec)
    CodecCosts(tiling, "png", str(tmp_path))
