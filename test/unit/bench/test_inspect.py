"""What passes between the operators of a recorded model."""
import json

import pytest
import torch

from intra_dp_ros.bench import inspect
from intra_dp_ros.bench.operators import as_lines, operators
from intra_dp_ros.graph.record import record
from intra_dp_ros.lop.tiling import Tiling


class Branches(torch.nn.Module):
    """image -> half the size -> two branches -> their sum -> mean over everything."""

    def __init__(self):
        super().__init__()
        self.down = torch.nn.Conv2d(3, 2, 2, stride=2)
        self.right = torch.nn.Conv2d(2, 2, 1)

    def forward(self, x):
        y = self.down(x)
        left = torch.relu(y)
        return (left + self.right(y)).cumsum(2)


@pytest.fixture(scope="module")
def tiling():
    return Tiling(record(Branches().eval(), (torch.zeros(1, 3, 8, 8),)).graph)


def test_what_passes_at_every_depth(tiling):
    found = inspect.depths(tiling.graph)
    assert [d.op for d in found] == ["input", "conv2d", "relu", "conv2d", "add.Tensor", "cumsum"]
    assert [d.nbytes for d in found] == [768, 128, 256, 256, 128, 128]  # 3x8x8 and 2x4x4 floats
    assert [d.is_articulation for d in found] == [True, True, False, False, True, True]


def test_small_cuts(tiling):
    found = inspect.depths(tiling.graph)
    assert [d.depth for d in inspect.record_lows(found)] == [0, 1]
    assert [d.depth for d in inspect.small_articulations(found, 9)] == [1, 4]  # neither input nor output
    assert [d.depth for d in inspect.small_articulations(found, 1)] == [1]


def test_the_text_names_every_operator(tiling):
    text = inspect.describe("branches", tiling)
    assert "branches: 5 operators, 4 local, 0 reduce and 1 global" in text
    assert inspect.parameters(tiling.graph) == 26 + 6
    assert "1  cumsum                       this call works across the rows, first at test_inspect.py" in text
    assert "float32 1x3x8x8 (768 bytes)" in text and "       1         128     16.7 %  conv2d: float32 1x2x4x4" in text


def test_the_table(tiling):
    table = operators(tiling)
    assert [o.op for o in table] == ["conv2d", "relu", "conv2d", "add.Tensor", "cumsum"]
    assert [o.receptive_field for o in table] == [2, 2, 2, 2, 8]
    assert [o.kind for o in table] == ["local"] * 4 + ["global"]
    assert [o.axis for o in table] == [2, 2, 2, 2, None] and table[0].shape == (1, 2, 4, 4)
    assert table[0].source.startswith("test_inspect.py:") and table[4].why and not table[0].why
    lines = as_lines(table)
    assert len(lines) == 6 and lines[1].split()[:4] == ["0", "conv2d", "local", "2"]


def test_receptive_fields_of_a_deep_chain():
    net = torch.nn.Sequential(*(torch.nn.Conv2d(1, 1, 3, stride=s, padding=1) for s in (1, 2, 1)))
    tiling = Tiling(record(net.eval(), (torch.zeros(1, 1, 32, 4),)).graph)
    assert [o.receptive_field for o in operators(tiling)] == [3, 5, 9]  # 1 + 2, + 2, + 2 * 2


def test_results_stay_until_the_end():
    def both(x):
        y = torch.relu(x)
        return y, torch.sigmoid(y)
    found = inspect.depths(record(both, (torch.zeros(1, 3, 8, 8),)).graph)
    assert [len(d.tensors) for d in found] == [1, 1, 2]


def test_main(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INTRA_DP_CACHE", str(tmp_path))
    plot, table = tmp_path / "bytes.png", tmp_path / "table.json"
    assert inspect.main(["--input", "1x64x64x3", "--plot", str(plot), "--json", str(table)]) == 0
    out = capsys.readouterr().out
    assert "movenet-multipose (random weights)" in out
    assert plot.read_bytes()[:4] == b"\x89PNG" and plot.stat().st_size > 5000
    rows = json.loads(table.read_text())["operators"]
    assert "{} operators".format(len(rows)) in out
    assert {"index", "op", "kind", "axis", "shape", "receptive_field", "nbytes", "source"} <= set(rows[0])
    assert inspect.main(["--model", "nothing"]) == 1
    assert "no model 'nothing'" in capsys.readouterr().err
