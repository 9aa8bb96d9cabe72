"""What tests with a robot and a server in one process begin with."""
import pytest
import torch
from one_process import Cable, Net

from intra_dp_ros.graph.record import record


@pytest.fixture(scope="module")
def recording():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    return record(Net().eval(), (torch.zeros((1, 240, 320, 3), dtype=torch.uint8),))


@pytest.fixture
def cable(tmp_path):
    made = Cable(str(tmp_path / "server"))
    yield made
    made.close()
