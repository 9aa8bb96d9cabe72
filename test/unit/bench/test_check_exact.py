"""The exactness check passes what is exact, and fails what is not."""
import json

import pytest
import torch
import torch.nn as nn

from intra_dp_ros.bench import check_exact
from intra_dp_ros.bench.options import shape_of
from intra_dp_ros.lop.kernels.table import KERNELS
from intra_dp_ros.lop.rules.table import RULES

torch.set_num_threads(1)


class Net(nn.Module):
    """Halo, a reduction, and an output of integers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, 2, padding=2)

    def forward(self, x):
        y = self.b(self.a(x).relu())
        return {"scores": y.mean((2, 3)), "classes": y.argmax(1)}


def test_every_kind_of_plan_is_tried():
    lines = []
    result = check_exact.check("net", Net().eval(), (torch.randn(1, 3, 24, 16),), 10, 0, lines.append)
    assert result.outputs_equal and result.max_rel_error < 1e-5 and result.plans == len(lines) == 10
    assert (result.operators, result.local, result.reduce) == (6, 5, 1)
    assert {kind for kind in check_exact.KINDS if any(kind in line for line in lines)} == set(check_exact.KINDS)
    assert json.loads(result.as_json())["global"] == 0


def test_tiles_without_halo_are_found(monkeypatch):
    """As the published system cuts them: every tile is padded as if it were the whole image."""
    def same_rows(ctx):
        return ctx.same_rows(ctx.arg("input")) if ctx.shape(ctx.arg("weight"))[2] == 3 else convolution(ctx)

    def padded(kernel, tiles, start, stop):
        return kernel.call(tiles) if kernel.context.shape(kernel.node.args["weight"])[2] == 3 else exact(
            kernel, tiles, start, stop)

    convolution, exact = RULES["conv2d"], KERNELS["conv2d"]
    monkeypatch.setitem(RULES, "conv2d", same_rows)
    monkeypatch.setitem(KERNELS, "conv2d", padded)
    result = check_exact.check("net", Net().eval(), (torch.randn(1, 3, 24, 16),), 10, 0)
    assert not result.outputs_equal and result.max_rel_error > 1e-3


def test_a_model_whose_end_depends_on_its_values():
    net = Net().eval()
    result = check_exact.check("net", lambda x: net(x)["scores"].nonzero(), (torch.randn(1, 3, 24, 16),), 5, 0)
    assert result.outputs_equal and "nonzero" in result.rest and result.rest_equal


def test_integers_count_one_by_one():
    a, b = torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])
    assert check_exact.compare([torch.ones(2), a], [torch.ones(2), a]) == (0.0, True)
    assert check_exact.compare([torch.ones(2), a], [torch.ones(2), b]) == (0.0, False)
    assert check_exact.compare([torch.ones(2) * 1.01, a], [torch.ones(2), a])[1] is False


def test_main(tmp_path, capsys):
    path = tmp_path / "result.json"
    arguments = ["--model", "torchvision:squeezenet1_1", "--input", "1x3x64x64", "--plans", "2", "--json", str(path)]
    pytest.importorskip("torchvision")
    assert check_exact.main(arguments) == 0
    found = json.loads(path.read_text())
    assert found["plans"] == 2 and found["outputs_equal"] and 0 <= found["max_rel_error"] <= 1e-4
    assert check_exact.main(["--model", "nothing"]) == 2
    assert "no model 'nothing'" in capsys.readouterr().err


def test_shapes_as_text():
    assert shape_of("1x3x224X224") == (1, 3, 224, 224)
    for wrong in ("", "1x-3", "1x0", "axb", "1,3"):
        with pytest.raises(Exception, match="is not a shape"):
            shape_of(wrong)
