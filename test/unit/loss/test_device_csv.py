"""Measured operator times put onto graphs: order, kinds and shapes, what is left over, files that are not such."""
import pytest
import torch
import torch.nn as nn

from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import device_csv
from intra_dp_ros.lop.tiling import Tiling

torch.set_num_threads(1)
HEADER = "index,op,inputs,output_shapes,local_dim,robot_ms,server_ms\n"
ROWS = '''0,_start,[],"[1,3,8,8]",3,0.00,0.00
1,conv2d,[0],"[1,4,8,8]",3,8.00,0.80
2,dim,[1],,None,0.00,0.00
3,batch_norm,[1],"[1,4,8,8]",3,1.00,0.10
4,relu_,[3],"[1,4,8,8]",3,2.00,0.20
5,conv2d,[4],"[1,4,8,8]",3,16.00,1.60
6,nms,[5],"[7] [7]",None,3.00,0.30
'''


@pytest.fixture
def tiling():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1),
                        nn.Sigmoid())
    return Tiling(record(net.eval(), (torch.zeros(1, 3, 8, 8),)).graph)


def write(tmp_path, text):
    path = tmp_path / "times.csv"
    path.write_text(text)
    return str(path)


def test_rows_go_to_the_operators_they_were_measured_on(tiling, tmp_path):
    rows = device_csv.read(write(tmp_path, HEADER + ROWS))
    assert [row.shape for row in rows[1:3]] == [(1, 4, 8, 8), ()]
    found = device_csv.map_rows(tiling, rows, launch_ms=(0.5, 0.1), scale=(1.0, 2.0))
    assert [n.name for n in tiling.graph.nodes] == ["conv2d", "relu", "conv2d", "sigmoid"]
    assert found.robot.a_ms == (0.5, 0.5, 0.5, 0.5)
    assert found.robot.b_ms == pytest.approx((7.5 / 8, 1.5 / 8, 15.5 / 8, 2.5 / 8))  # nms has no place: sigmoid gets it
    assert found.server.frame_ms([8] * 4) == pytest.approx(2 * (0.8 + 0.2 + 1.6 + 0.3))
    assert found.absorbed_ms == (1.0, 0.1)  # the batch norm is folded
    assert (found.rows, found.mapped, found.left, found.guessed) == (5, 3, (("nms", 1),), (("sigmoid", 1),))
    assert "nms x1" in found.in_words() and "sigmoid x1" in found.in_words()


def test_a_call_costs_no_more_than_the_operator(tiling, tmp_path):
    found = device_csv.map_rows(tiling, device_csv.read(write(tmp_path, HEADER + ROWS)), launch_ms=(100.0, 100.0))
    assert found.robot.a_ms == (8.0, 2.0, 16.0, 3.0) and not any(found.robot.b_ms)


def test_another_models_file_is_refused(tiling, tmp_path):
    rows = device_csv.read(write(tmp_path, HEADER + '1,conv2d,[0],"[1,9,9,9]",3,8.00,0.80\n'))
    with pytest.raises(ValueError, match="another model"):
        device_csv.map_rows(tiling, rows)


@pytest.mark.parametrize("text, word", [("a,b\n1,2\n", "no column op"), (HEADER + "1,conv2d,[0],[1],3,x,0\n", "line 2"),
                                        (HEADER + "1,conv2d,[0],[1],3,-1,0\n", ">= 0")])
def test_files_that_are_not_such(text, word, tmp_path):
    with pytest.raises(ValueError, match=word):
        device_csv.read(write(tmp_path, text))
