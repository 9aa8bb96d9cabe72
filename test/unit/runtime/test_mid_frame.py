"""The link falls, stands still or rises in the middle of a frame; over a shaped link, in one process."""
import math
import random
import threading
import time

import pytest
import torch
from one_process import answered, images, make_robot, ready, until

from intra_dp_ros.graph.record import record
from intra_dp_ros.runtime import offer, rethink, rise
from intra_dp_ros.runtime.offer import Offer
from intra_dp_ros.runtime.rethink import Other
from intra_dp_ros.runtime.split import RobotFrame
from intra_dp_ros.wire.shaper import Trace


class Deep(torch.nn.Module):
    """Many operators: a robot that computes it sees often what the link does."""

    def __init__(self):
        super().__init__()
        self.convs = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3, 2, 1),
                                          *(torch.nn.Conv2d(4, 4, 3, 1, 1) for _ in range(24))])

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float() / 255.0
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x.mean((2, 3))


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_link_that_falls_in_mid_frame(recording, tmp_path, cable, adaptive):
    """From 8 MB/s to a crawl while rows are on their way: with `adaptive` the robot computes beside the link."""
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp", adaptive=adaptive)
    try:
        ready(robot, "intra_dp")
        source, reasons = images(), []

        def falls():
            until(lambda: answered(robot, next(source)).outcome == "split", "a split frame")
            cable.shaper.trace = Trace.constant(1.5e5)
            stats = answered(robot, next(source))
            cable.shaper.trace = Trace.constant(8e6)
            reasons.append(stats.reason)
            return "late" in stats.reason

        if adaptive:
            until(falls, "computing beside the link")  # on a busy machine the server may be silent too
        else:
            assert not any([falls() for _ in range(2)]), reasons
    finally:
        robot.close()


def test_a_link_that_stands_still_for_a_moment(tmp_path, cable, monkeypatch):
    """The robot begins the frame beside it, and waits when the link is back: the server answers far sooner."""
    torch.manual_seed(1)
    deep = record(Deep().eval(), (torch.zeros((1, 480, 640, 3), dtype=torch.uint8),))
    cable.start_server()
    robot = make_robot(deep, tmp_path, cable, strategy="intra_dp", slowdown=60.0)
    source = images(480, 640)
    pauses, pause = [], RobotFrame.pause
    monkeypatch.setattr(RobotFrame, "pause", lambda self, wait: (pauses.append(self), pause(self, wait)))
    try:
        ready(robot, "intra_dp")

        def returns():
            until(lambda: answered(robot, next(source)).outcome == "split", "a split frame")
            now = time.monotonic() - cable.shaper.origin
            cable.shaper.trace = Trace([0.0, now, now + 0.08], [8e6, 5e4, 8e6], 1e6)
            pauses.clear()
            stats = answered(robot, next(source))
            beside = [s for s in stats.spans if s.label == "beside the link"]
            return stats.outcome == "split" and pauses and beside[-1].stop_s < stats.inference_s - 0.01

        until(returns, "the robot's wait")
    finally:
        robot.close()


@pytest.mark.parametrize("codec", ["raw", "lossless"])
def test_frames_that_go_on_by_any_other_plan_are_exact(recording, tmp_path, cable, monkeypatch, codec):
    """From every plan to any other, at any moment, several times in a frame: the link has nothing to do with it."""
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp", slowdown=100.0, input_codec=codec)
    draw, source, words = random.Random(4), images(), []
    monkeypatch.setattr(rethink, "_CHANGED", 1.0)  # every look is one
    monkeypatch.setattr(rethink, "_WORTH", math.inf)

    def other(now, under, past, sent, traffic):
        plans = [p for e, p in robot._choice.parts.items() if e in robot.connection.confirmed and e not in past]
        return Other(draw.choice(plans), 1.0, 8e6) if plans and draw.random() < 0.5 else None
    try:
        ready(robot, "intra_dp")
        monkeypatch.setattr(robot._choice, "other", other)

        def enough():
            for rate in (1e6, 4e6, 8e6):
                cable.shaper.trace = Trace.constant(rate)
                stats = answered(robot, next(source))
                assert "refused" not in stats.reason and "dropped" not in stats.reason
                words.append((stats.outcome, "went on" in stats.reason))
            return words.count(("split", True)) >= 5
        until(enough, "frames that went on by another plan")
    finally:
        robot.close()


def test_a_frame_with_its_part_for_the_robot_goes_on_when_the_link_rises(tmp_path, cable):
    """By the plan for the link as it is: rows that are not sent are given to the server."""
    torch.manual_seed(1)
    deep = record(Deep().eval(), (torch.zeros((1, 480, 640, 3), dtype=torch.uint8),))
    cable.start_server()
    robot = make_robot(deep, tmp_path, cable, strategy="intra_dp", slowdown=60.0)
    source, seen = images(480, 640), []
    try:
        ready(robot, "intra_dp")

        def rises():
            parts = robot._choice.parts  # of now: plans are made anew when the round trip has been measured
            slow = max((r.bandwidth for r in robot._planner.table("intra_dp").rungs
                        if r.plan.epoch in parts and parts[r.plan.epoch].is_shared and r.bandwidth < 3e6), default=0.0)
            if robot.status()["is_planning"] or not slow:
                return False
            cable.shaper.trace = Trace.constant(1.05 * slow)
            until(lambda: answered(robot, next(source)).robot_compute_s > 0, "a frame with its part for the robot")
            rise = threading.Timer(0.1, lambda: setattr(cable.shaper, "trace", Trace.constant(3e7)))
            rise.start()
            stats = answered(robot, next(source))
            rise.join()
            seen.append((stats.outcome, stats.reason, stats.plan, stats.robot_compute_s))
            return stats.outcome == "split" and "went on by another plan: the link rose" in stats.reason
        until(rises, "going on by another plan")
    finally:
        robot.close()


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_link_that_rises_in_mid_frame(recording, tmp_path, cable, adaptive):
    """From a crawl to 30 MB/s while the robot computes: with `adaptive` the server gets the frame, too."""
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp", adaptive=adaptive, slowdown=200.0)
    robot.probe_every(0.05)
    source, outcomes = images(), []
    try:
        ready(robot, "intra_dp")

        def rises():
            cable.shaper.trace = Trace.constant(5e4)
            until(lambda: answered(robot, next(source)).outcome == "local", "a local frame")
            rise = threading.Timer(0.2, lambda: setattr(cable.shaper, "trace", Trace.constant(3e7)))
            rise.start()
            stats = answered(robot, next(source))
            rise.join()
            outcomes.append((stats.outcome, stats.reason))
            return stats.outcome == "split" and "rose" in stats.reason and 0 < stats.robot_compute_s

        if adaptive:
            until(rises, "the server's help")
        else:
            assert not any([rises() for _ in range(2)]), outcomes
        until(lambda: robot.uplink > 1e7, "the end of the crawl's probes, which are on the air still")
        assert answered(robot, next(source)).outcome in ("split", "local")
    finally:
        robot.close()


def test_frames_begun_alone_and_given_to_the_server_at_any_moment_are_exact(recording, tmp_path, cable, monkeypatch):
    """Held back, gone on with, and ended by any other plan: the link has nothing to do with it."""
    cable.start_server()
    robot = make_robot(recording, tmp_path, cable, strategy="intra_dp", slowdown=100.0)
    draw, source, words, tried = random.Random(5), images(), [], []
    choice = robot._choice
    monkeypatch.setattr(rise, "_LOOK_S", 0.0)
    monkeypatch.setattr(offer, "_PAUSE_S", 0.01)
    monkeypatch.setattr(rethink, "_CHANGED", 1.0)
    monkeypatch.setattr(rethink, "_WORTH", math.inf)
    monkeypatch.setattr(Offer, "_is_late", lambda self, left_s: draw.random() < 0.3)

    def confirmed(past=()):
        return [p for e, p in choice.parts.items() if e in robot.connection.confirmed and e not in past]

    def trial(now):
        tried[:] = [draw.choice([p for p in confirmed() if not p.is_shared])]
        return tried[0]

    def other(now, under, past, sent, traffic):
        """The trial's plan as well, unless the frame was under it: the server takes none twice."""
        plans = [p for p in tried if p.plan.epoch not in past] or confirmed(past)
        return Other(draw.choice(plans), 1.0, 8e6) if plans and draw.random() < 0.5 else None

    def risen(now, within_s):
        return Other(draw.choice(confirmed()), 1.0, 8e6) if draw.random() < 0.3 else None
    try:
        ready(robot, "intra_dp")
        monkeypatch.setattr(choice, "plan_for", lambda now: (choice.local, ""))
        monkeypatch.setattr(choice, "trial", trial)
        monkeypatch.setattr(choice, "risen", risen)
        monkeypatch.setattr(choice, "other", other)

        def enough():
            for rate in (5e5, 2e6, 8e6):
                cable.shaper.trace = Trace.constant(rate)
                stats = answered(robot, next(source))
                assert "refused" not in stats.reason and "dropped" not in stats.reason, stats.reason
                words.append(" ".join(stats.reason.split()[:3]) or stats.outcome)
            return all(words.count(w) >= 3 for w in ("begun on the", "went on by"))
        until(enough, "frames given to the server")
    finally:
        robot.close()


class Whole(torch.nn.Module):
    """Nothing to divide: every row depends on all of the image, and what is inside is larger than the image."""

    def __init__(self):
        super().__init__()
        self.convs = torch.nn.ModuleList([torch.nn.Conv2d(3, 8, 3, 1, 1),
                                          *(torch.nn.Conv2d(8, 8, 3, 1, 1) for _ in range(12))])

    def forward(self, image):
        x = image.permute(0, 3, 1, 2).float()
        x = x - x.mean()
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x.mean((2, 3))


@pytest.mark.parametrize("adaptive", [True, False])
def test_who_computes_alone_finds_out_that_the_link_has_risen(tmp_path, cable, adaptive):
    """Without any probe: a frame's own rows tell, as far as it takes to know."""
    torch.manual_seed(1)
    source, alone = images(), []
    image = next(source)
    net = Whole().eval()
    with torch.no_grad():
        net(image)
        began = time.thread_time()
        net(image)
    slowdown = max(1.0, 0.2 / (time.thread_time() - began))  # a robot that takes about 0.2 s
    cable.start_server()
    robot = make_robot(record(net, (image,)), tmp_path, cable, strategy="intra_dp", adaptive=adaptive,
                       slowdown=slowdown)

    def is_slow():
        stats = answered(robot, next(source))
        return stats.outcome == "local" and not stats.reason

    def tells():
        robot.probe_every(0.05)
        cable.shaper.trace = Trace.constant(8e6)
        until(lambda: answered(robot, next(source)).outcome == "split", "a split frame")
        cable.shaper.trace = Trace.constant(3e5)
        until(is_slow, "a local frame")
        robot.probe_every(math.inf)
        time.sleep(0.15)  # an estimate of this age tells nothing
        alone.append(answered(robot, next(source)))
        cable.shaper.trace = Trace.constant(3e7)
        return any(answered(robot, next(source)).outcome == "split" for _ in range(3))

    try:
        ready(robot, "intra_dp")
        if adaptive:
            until(lambda: tells() and alone[-1].outcome == "local" and 0 < alone[-1].bytes_up < image.numel(),
                  "a trial, and a frame for the server")
        else:
            assert not tells() and not alone[-1].bytes_up
    finally:
        robot.close()
