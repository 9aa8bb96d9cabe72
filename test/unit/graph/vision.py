"""torchvision, where one is installed that fits the torch that runs here."""
import importlib.util
import os

import pytest
import torch


def models():
    """`torchvision.models`, or the test is skipped: one from another place may be built for another torch and abort."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.origin.startswith(os.path.dirname(os.path.dirname(torch.__file__)) + os.sep):
        pytest.skip("no torchvision beside torch {}".format(torch.__version__))
    return pytest.importorskip("torchvision.models")
