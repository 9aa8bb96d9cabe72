"""Devices by a few numbers: what an operator has to do, what it waits for, and devices found again from their times."""
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.graph.graph import Const, ConstSpec, Graph, OpNode, Ref, TensorSpec
from intra_dp_ros.loss import device_fit, device_model
from intra_dp_ros.loss.device_fit import Observed
from intra_dp_ros.loss.device_model import Device, Rate, waits_ms
from intra_dp_ros.loss.operator_work import ARITHMETIC, FAMILIES, VIEW, Work, work_of
from intra_dp_ros.lop.tiling import Tiling

RATE = st.floats(0.2, 20.0)


def one(op, shapes, out, constant=(), **args):
    """A graph of one operator; `constant`: shape of the constant `w`."""
    tensors = tuple(TensorSpec(shape, "float32") for shape in (*shapes, out))
    last = len(shapes)
    constants = {"w": ConstSpec(constant, "float32", "")} if constant else {}
    return Graph(tensors, (OpNode(op, args, (last,)),), tuple(range(last)), (last,), Ref(0), constants)


def work(*given_, **args):
    graph = one(*given_, **args)
    return work_of(graph, graph.nodes[0])


def made_up(rates, call=0.1, launch=0.02):
    """A device with the rates (arithmetic, memory) of each family."""
    return Device("made up", call, launch, {
        family: Rate(rates[family][0] if family in ARITHMETIC else 0.0, rates[family][1]) for family in FAMILIES})


def works(seed, per_family=12):
    """Random calls of every family, from small ones to large ones."""
    draw = random.Random(seed)
    return [Work(family, int(10 ** draw.uniform(7, 10.5)) if family in ARITHMETIC else 0,
                 int(10 ** draw.uniform(7, 9.5)))
            for family in FAMILIES for _ in range(per_family)]


@pytest.mark.parametrize("found, family, flops, numbers", [
    (work("conv2d", [(1, 3, 8, 8)], (1, 40, 8, 8), (40, 3, 3, 3), input=Ref(0), weight=Const("w")),
     "convolution", 2 * 64 * 27 * 64, 3 * 64 + 40 * 27 + 40 * 64),  # 40 outputs fill two tiles of 32
    (work("conv2d", [(1, 64, 8, 8)], (1, 64, 4, 4), (64, 1, 3, 3), input=Ref(0), weight=Const("w"), groups=64),
     "grouped convolution", 2 * 64 * 9 * 16, 64 * 64 + 64 * 9 + 64 * 16),
    (work("conv3d", [(1, 8, 4, 4, 4)], (1, 32, 4, 4, 4), (32, 8, 3, 3, 3), input=Ref(0), weight=Const("w")),
     "volume convolution", 2 * 32 * 8 * 27 * 64, 8 * 64 + 32 * 8 * 27 + 32 * 64),
    (work("conv_transpose2d.input", [(1, 8, 4, 4)], (1, 6, 8, 8), (8, 6, 2, 2), input=Ref(0), weight=Const("w")),
     "transposed convolution", 2 * 8 * 6 * 4 * 16, 8 * 16 + 8 * 6 * 4 + 6 * 64),
    (work("linear", [(1, 7, 100)], (1, 7, 1000), (1000, 100), input=Ref(0), weight=Const("w")),
     "matrix product", 2 * 7 * 1024 * 100, 700 + 100000 + 7000),
    (work("matmul", [(2, 5, 8), (2, 8, 32)], (2, 5, 32), self=Ref(0), other=Ref(1)),
     "matrix product", 2 * 2 * 5 * 32 * 8, 80 + 512 + 320),
    (work("scaled_dot_product_attention", [(2, 6, 8)] * 3, (2, 6, 8), query=Ref(0), key=Ref(1), value=Ref(2)),
     "matrix product", 4 * 2 * 6 * 6 * 8, 4 * 96),
    (work("layer_norm", [(1, 9, 16)], (1, 9, 16), (16,), input=Ref(0), weight=Const("w")), "normalisation", 0, 304),
    (work("add.Tensor", [(1, 9), (1, 9)], (1, 9), self=Ref(0), other=Ref(1)), "elementwise", 0, 27),
    (work("max_pool2d", [(1, 1, 4, 4)], (1, 1, 2, 2), self=Ref(0)), "pooling and reduction", 0, 20),
    (work("cat", [(1, 4), (1, 5)], (1, 9), tensors=(Ref(0), Ref(1))), "copy", 0, 18),
    (work("made_up_operator", [(3, 4)], (5,), self=Ref(0)), "other", 0, 17),
    (work("permute", [(3, 4)], (4, 3), self=Ref(0)), VIEW, 0, 0),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_an_operator_has_to_do(found, family, flops, numbers):
    assert found == Work(family, flops, 4 * numbers)


def test_an_unknown_operator_takes_the_launch_and_its_bytes():
    device = made_up({family: (2.0, 30.0) for family in FAMILIES}, launch=0.02)
    unknown = work("made_up_operator", [(1000, 1000)], (1000, 1000), self=Ref(0))
    assert device.kernel_ms(unknown) == pytest.approx(0.02 + 8e6 / 1e9 * 30.0)
    assert device.kernel_ms(Work(VIEW, 0, 0)) == 0.0


@pytest.mark.parametrize("kernels, waits", [
    ([0.0, 0.0], [1.0, 1.0]),  # nothing to compute: every call is waited for
    ([5.0, 0.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0]),  # the calls are made while the first one computes
    ([2.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.5]),  # until the processor has caught up
    ([], []),
])
def test_calls_are_waited_for_where_nothing_is_left_to_do(kernels, waits):
    assert waits_ms(1.0, kernels) == pytest.approx(waits)


@given(st.floats(0.0, 1.0), st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30))
def test_a_frame_takes_its_calls_or_its_kernels(call, kernels):
    waits = waits_ms(call, kernels)
    total = sum(waits) + sum(kernels)
    assert waits[0] == call and all(0.0 <= w <= call * (1 + 1e-9) + 1e-12 for w in waits)
    assert total >= max(sum(kernels), call * len(kernels) + kernels[-1]) * (1 - 1e-9)
    assert total <= sum(kernels) + call * len(kernels) + 1e-9


@settings(max_examples=40)
@given(st.fixed_dictionaries({family: st.tuples(RATE, RATE) for family in FAMILIES}), st.floats(0.0, 0.2),
       st.integers(0, 10 ** 6))
def test_a_device_that_follows_the_law_is_found_again(rates, launch, seed):
    device = made_up(rates, launch=launch)
    found = device_fit.fit("found", 0.1, [Observed(w, device.kernel_ms(w)) for w in works(seed, 60)])
    for w in works(seed + 1):
        assert found.kernel_ms(w) == pytest.approx(device.kernel_ms(w), rel=0.05, abs=0.01)


@given(st.lists(st.floats(0.0, 50.0), min_size=len(FAMILIES) * 3, max_size=len(FAMILIES) * 3), st.integers(0, 99))
def test_whatever_the_times_no_coefficient_is_negative(times, seed):
    observed = [Observed(w, ms) for w, ms in zip(works(seed, 3), times)]
    try:
        found = device_fit.fit("found", 0.1, observed)
    except ValueError as error:  # such times tell nothing
        assert "do not tell" in str(error)
        return
    numbers = [found.launch_ms, *(n for r in found.rates.values() for n in (r.ms_per_gflop, r.ms_per_gb))]
    assert min(numbers) >= 0.0 and set(found.rates) == set(FAMILIES)


def test_a_family_without_times_keeps_to_the_others():
    device = made_up({family: (2.0, 30.0) for family in FAMILIES})
    known = [Observed(w, device.kernel_ms(w)) for w in works(0) if w.family not in ("volume convolution", "other")]
    found = device_fit.fit("found", 0.1, [*known, Observed(Work(VIEW, 0, 0), 99.0)])
    assert found.rates["volume convolution"].ms_per_gflop == pytest.approx(2.0, rel=0.01)
    assert found.rates["other"].ms_per_gb == pytest.approx(30.0, rel=0.01)
    with pytest.raises(ValueError, match="2 measured operators"):
        device_fit.fit("found", 0.1, known[:2])


def test_a_call_is_what_views_take_where_they_take_anything():
    assert device_fit.call_ms([0.0] * 90 + [0.2] * 3) == pytest.approx(0.2)
    assert device_fit.call_ms([0.0] * 50 + [0.01] * 9 + [0.14, 0.16]) == pytest.approx(0.15, rel=0.25)
    assert device_fit.call_ms([]) == device_fit.call_ms([0.0]) == 0.0


def chain():
    """A convolution with rows, a small operator in its shadow, and one that has no rows."""
    tensors = tuple(TensorSpec(shape, "float32") for shape in ((1, 32, 64, 64), (1, 32, 64, 64), (1, 32, 64, 64), (5,)))
    nodes = (OpNode("conv2d", {"input": Ref(0), "weight": Const("w"), "padding": (1, 1)}, (1,)),
             OpNode("relu", {"self": Ref(1)}, (2,)), OpNode("made_up_operator", {"self": Ref(2)}, (3,)))
    return Tiling(Graph(tensors, nodes, (0,), (3,), Ref(0), {"w": ConstSpec((32, 32, 3, 3), "float32", "")}))


def test_a_profile_adds_up_to_the_frame():
    tiling = chain()
    device = made_up({family: (20.0, 30.0) for family in FAMILIES}, call=0.5, launch=0.02)
    profile = device.profile(tiling)
    rows = [rule.rows for rule in tiling.rules]
    assert rows[:2] == [64, 64] and profile.graph == tiling.graph.hash
    assert profile.frame_ms(rows) == pytest.approx(device.frame_ms(tiling.graph))
    assert profile.a_ms[:2] == pytest.approx((0.52, 0.02)), "the second call is made while the first one computes"
    conv = device.kernel_ms(work_of(tiling.graph, tiling.graph.nodes[0]))
    assert conv > 1.0 and profile.b_ms[0] == pytest.approx((conv - 0.02) / 64)


def test_devices_are_kept_in_a_file(tmp_path):
    robot = made_up({family: (2.5, 31.25) for family in FAMILIES})
    server = made_up({family: (0.0, 1.5) for family in FAMILIES}, call=0.02)
    path = tmp_path / "devices.yaml"
    path.write_text(device_model.to_yaml(robot, server, "what this is\nand where from"))
    assert device_model.read(str(path)) == (robot, server)
    text = path.read_text()
    assert text.startswith("# what this is\n# and where from\n") and "400 GFLOP/s, 32.0 GB/s" in text


@pytest.mark.parametrize("change, word", [
    (lambda text: text.replace("server:", "servant:"), "no 'server'"),
    (lambda text: text.replace("0.1 ", "-0.1 "), ">= 0"),
    (lambda text: text.replace("    copy: ", "    copying: "), "families"),
    (lambda text: "robot: [", "describes no robot"), (lambda text: "", "describes no robot"),
    (lambda text: text.replace("ms_per_gb: 3", "ms_per_gb: x"), "'x'"),
    (lambda text: text.replace("ms_per_gflop", "gflop"), "no 'ms_per_gflop'")])
def test_files_that_describe_no_devices(change, word, tmp_path):
    device = made_up({family: (2.0, 3.0) for family in FAMILIES})
    path = tmp_path / "devices.yaml"
    path.write_text(change(device_model.to_yaml(device, device, "")))
    with pytest.raises(ValueError, match=word) as caught:
        device_model.read(str(path))
    assert str(path) in str(caught.value)
