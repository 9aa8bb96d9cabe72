"""A small network of KAPAO's kind, split at random: the same people as the network itself finds."""
import random

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="OpenCV is not installed")

from intra_dp_ros.apps.loaders.base import RANDOM, InputSpec, LoadedModel  # noqa: E402
from intra_dp_ros.apps.networks.people_net import CLASSES, COLUMNS, PeopleNet  # noqa: E402
from intra_dp_ros.apps.pipeline import ImageModel, record_model  # noqa: E402
from intra_dp_ros.lop.axis import prepare  # noqa: E402
from intra_dp_ros.lop.both_sides import run_both_sides  # noqa: E402
from intra_dp_ros.lop.program import Kernels  # noqa: E402
from intra_dp_ros.lop.tiling import Tiling  # noqa: E402
from intra_dp_ros.loss.random_plans import KINDS, random_plan  # noqa: E402

SHAPE = (1, 3, 128, 192)


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(4)
    net = PeopleNet(0.125, 0.34).eval()
    with torch.no_grad():
        for head in net.heads:  # as random weights leave them, nothing is an object
            head.weight *= 8.0
            head.bias.view(3, COLUMNS)[:, 4:6] += 2.0
            head.bias.view(3, COLUMNS)[:, 6:5 + CLASSES] -= 1.0
    return LoadedModel("small", net.fuse(), (InputSpec(SHAPE, "uint8"),), RANDOM, "", "kapao", 0.2)


def test_people_are_the_same(model):
    images = ImageModel(model)
    rgb = np.random.RandomState(2).randint(0, 256, (100, 150, 3)).astype(np.uint8)
    expected = images.unsplit(rgb)
    assert len(expected) > 3 and all(len(p.keypoints) == 17 for p in expected)
    inputs, fit = images.prepare(rgb)
    recording = prepare(record_model(model))
    tiling = Tiling(recording.graph)
    kernels, order = Kernels(tiling, recording.weights), random.Random(5)
    for kind in list(KINDS)[:4]:
        found = images.people(run_both_sides(kernels, random_plan(tiling, kind, order), inputs, order), fit)
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            np.testing.assert_allclose(one.box, other.box, atol=0.02)
            np.testing.assert_allclose([(k.x, k.y, k.score) for k in one.keypoints],
                                       [(k.x, k.y, k.score) for k in other.keypoints], atol=0.02)
