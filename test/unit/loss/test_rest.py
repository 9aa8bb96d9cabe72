"""What is left of a plan in the middle of a frame, against costs computed by hand."""
from dataclasses import replace

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss.baselines.neurosurgeon import cut_plan
from intra_dp_ros.loss.link_model import FULL, LinkModel
from intra_dp_ros.loss.profile import Profile
from intra_dp_ros.loss.rest import rest_s
from intra_dp_ros.loss.timeline import Timeline
from intra_dp_ros.lop.plan import UP
from intra_dp_ros.lop.tiling import Tiling

ROWS, ROW_BYTES = 12, 4 * 8 * 4
WHOLE_S = 0.008  # of the server for the frame
LINK = LinkModel(1e4, 1e9, 0.002, FULL)


@pytest.fixture(scope="module")
def timeline():
    net = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sigmoid()).eval()
    tiling = Tiling(record(net, (torch.zeros(1, 4, ROWS, 8),)).graph)
    count = len(tiling.rules)
    return Timeline(tiling, Profile(tiling.graph.hash, "r", (0.0,) * count, (1.0,) * count),
                    Profile(tiling.graph.hash, "s", (WHOLE_S * 1e3 / count,) * count, (0.0,) * count))


@pytest.fixture(scope="module")
def plan(timeline):
    offload = cut_plan(timeline.tiling, 0)
    return replace(offload, transfers=tuple(replace(t, chunks=1) if t.direction == UP else t
                                            for t in offload.transfers))


def test_before_anything_was_sent_it_is_the_whole_plan(timeline, plan):
    assert rest_s(timeline, plan, LINK, {}) == pytest.approx(timeline.predict(plan, LINK).latency_s)
    assert rest_s(timeline, plan, LINK, {}) == pytest.approx(ROWS * ROW_BYTES / 1e4 + WHOLE_S + 0.002, rel=1e-3)


@pytest.mark.parametrize("sent", [3, 9, 12])
def test_rows_that_were_sent_need_no_sending(timeline, plan, sent):
    tensor = timeline.tiling.graph.inputs[0]
    assert rest_s(timeline, plan, LINK, {tensor: sent}) == pytest.approx(
        (ROWS - sent) * ROW_BYTES / 1e4 + WHOLE_S + 0.002, rel=1e-3)


def test_what_is_in_flight_goes_first(timeline, plan):
    tensor = timeline.tiling.graph.inputs[0]
    found = rest_s(timeline, plan, LINK, {tensor: 9}, in_flight=500)
    assert found == pytest.approx(500 / 1e4 + 3 * ROW_BYTES / 1e4 + WHOLE_S + 0.002, rel=1e-3)


def test_rows_of_inner_tensors_come_anew(timeline):
    """The robot computes them anew, so they travel again."""
    plan = cut_plan(timeline.tiling, 1)
    inner, = (t.tensor for t in plan.transfers if t.direction == UP)
    assert inner not in timeline.tiling.graph.inputs
    assert rest_s(timeline, plan, LINK, {inner: ROWS}) == pytest.approx(rest_s(timeline, plan, LINK, {}))
