"""How far results are from the unsplit model's, numbers and classes."""
import math

import pytest
import torch

from intra_dp_ros.graph.record import record
from intra_dp_ros.runtime.comparison import Comparison, choices

torch.set_num_threads(1)


class Classes(torch.nn.Module):
    """Numbers and classes of them."""

    def __init__(self, dtype=torch.uint8, keepdim=False):
        super().__init__()
        self.dtype, self.keepdim = dtype, keepdim

    def forward(self, x):
        scores = x * 2.0
        return scores + 1.0, scores.argmax(-2, keepdim=self.keepdim).to(self.dtype)


def scores(seed=0, count=20):
    x = torch.rand(1, 3, count, 5, generator=torch.Generator().manual_seed(seed))
    x[0, 1, 4, 2] = 9.0
    x[0, 1, 7, 2] = 9.0 - 9e-6  # all but a tie
    return x


def comparison(model, x):
    recording = record(model, (x,))
    return Comparison(recording.graph, recording.weights)


@pytest.mark.parametrize("keepdim", [False, True])
def test_a_class_is_as_wrong_as_its_score_is_low(keepdim):
    x, model = scores(), Classes(keepdim=keepdim)
    own, judge = model(x), comparison(model, x)
    assert judge.error((x,), own) == 0.0
    assert judge.error((x,), (own[0] * (1 + 3e-3), own[1])) == pytest.approx(3e-3, rel=0.1)
    at = (0, 1, 0, 2) if keepdim else (0, 1, 2)
    tie = own[1].clone()
    assert tie[at] == 4
    tie[at] = 7
    assert 0.0 < judge.error((x,), (own[0], tie)) < 2e-6
    tie[at] = 6
    assert judge.error((x,), (own[0], tie)) > 0.5
    tie[at] = 20  # no such class
    assert judge.error((x,), (own[0], tie)) == math.inf


def test_classes_that_a_type_cannot_hold_are_compared_as_numbers():
    x = scores(count=300)
    for dtype, is_choice in ((torch.uint8, False), (torch.int16, True), (torch.float32, False)):
        recording = record(Classes(dtype), (x,))
        assert bool(choices(recording.graph)) == is_choice
        assert comparison(Classes(dtype), x).error((x,), Classes(dtype)(x)) == 0.0


def test_other_outputs_are_refused():
    x, model = scores(), Classes()
    own, judge = model(x), comparison(model, x)
    for wrong in ((own[0],), (own[0], own[1][:, :2])):
        with pytest.raises(ValueError, match="the outputs have shapes"):
            judge.error((x,), wrong)
