"""The allow-list, and `Call`: argument binding, overrides and refusals."""
import pytest
import torch

from intra_dp_ros.graph.graph import Const, DType, GraphError, OpNode, Ref
from intra_dp_ros.graph.registry import ALLOWED, DTYPE_NAME, TORCH_DTYPE, Call, resolve

CONV = OpNode("conv2d", {"input": Ref(0), "weight": Const("w"), "padding": (1, 1)}, (1,))
WEIGHTS = {"w": torch.arange(27.).reshape(1, 3, 3, 3)}
X = torch.arange(75.).reshape(1, 3, 5, 5)


def test_allowed_operators_are_free_of_side_effects():
    absent = []
    for op in ALLOWED:
        try:
            schema = resolve(op)._schema
        except GraphError as error:
            assert "does not exist in the installed torch" in str(error) or "torchvision" in str(error)
            absent.append(op)
            continue
        assert not [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write], op
    assert len(absent) < 10  # names of newer torch versions


@pytest.mark.parametrize("op", ["relu_", "add_.Tensor", "rand", "from_file", "save", "os.system", "__class__", "",
                                "set_.source_Storage", "conv2d.__class__", "torchvision::decode_image", "nonzero"])
def test_other_operators_are_refused(op):
    with pytest.raises(GraphError, match="not allowed"):
        resolve(op)
    with pytest.raises(GraphError, match="not allowed"):
        Call(OpNode(op, {}, (1,)), {})


def test_every_dtype_goes_both_ways():
    assert {DTYPE_NAME[t]: t for t in TORCH_DTYPE.values()} == TORCH_DTYPE


def test_call_binds_arguments():
    expected = torch.nn.functional.conv2d(X, WEIGHTS["w"], padding=1)
    out, = Call(CONV, WEIGHTS)({0: X})
    assert torch.equal(out, expected)


def test_lists_keywords_and_types():
    cat = Call(OpNode("cat", {"tensors": (Ref(0), Const("w"), Ref(0)), "dim": 0}, (1,)), {"w": X + 1})
    assert torch.equal(cat({0: X})[0], torch.cat([X, X + 1, X]))
    add = Call(OpNode("add.Tensor", {"self": Ref(0), "other": 2, "alpha": 3}, (1,)), {})
    assert torch.equal(add({0: X})[0], X + 6)
    cast = Call(OpNode("to.dtype", {"self": Ref(0), "dtype": DType("bfloat16")}, (1,)), {})
    assert cast({0: X})[0].dtype == torch.bfloat16
    index = Call(OpNode("index.Tensor", {"self": Ref(0), "indices": (None, Const("i"))}, (1,)),
                 {"i": torch.tensor([2, 0])})
    assert torch.equal(index({0: X})[0], X[:, [2, 0]])


def test_several_results():
    split = Call(OpNode("split.Tensor", {"self": Ref(0), "split_size": 2, "dim": 2}, (1, 2, 3)), {})({0: X})
    assert [tuple(t.shape) for t in split] == [(1, 3, 2, 5), (1, 3, 2, 5), (1, 3, 1, 5)]
    best, where = Call(OpNode("max.dim", {"self": Ref(0), "dim": 1}, (1, 2)), {})({0: X})
    assert torch.equal(best, X[:, 2]) and torch.equal(where, torch.full((1, 5, 5), 2))


def test_with_args_replaces_any_argument():
    call = Call(CONV, WEIGHTS)
    tile = X[:, :, :4]
    plain = torch.nn.functional.conv2d
    assert torch.equal(call.with_args({}, input=tile, padding=[0, 1])[0], plain(tile, WEIGHTS["w"], padding=(0, 1)))
    assert torch.equal(call.with_args({0: X}, groups=1, dilation=[2, 2])[0],
                       plain(X, WEIGHTS["w"], padding=1, dilation=2))
    assert torch.equal(call({0: X})[0], plain(X, WEIGHTS["w"], padding=1))  # nothing of the override stays
    relu = Call(OpNode("relu", {"self": Ref(0)}, (1,)), {})
    assert torch.equal(relu.with_args({}, self=-X)[0], torch.zeros_like(X))
    add = Call(OpNode("add.Tensor", {"self": Ref(0), "other": 2}, (1,)), {})
    assert torch.equal(add.with_args({0: X}, alpha=5)[0], X + 10)
    mean = Call(OpNode("mean.dim", {"self": Ref(0), "dim": (2,)}, (1,)), {})
    assert mean.with_args({0: X}, dtype=torch.float64)[0].dtype == torch.float64
    with pytest.raises(GraphError, match="no argument 'pading'"):
        call.with_args({0: X}, pading=[1, 1])


@pytest.mark.parametrize("args, message", [
    ({"self": Ref(0), "sneaky": 1}, "no argument 'sneaky'"),
    ({}, "'self' is missing"),
    ({"self": Ref(0), "other": Ref(0), "alpha": Ref(0)}, "'alpha' cannot be a tensor"),
    ({"self": Ref(0), "other": Const("absent")}, "'absent' is missing"),
    ({"self": Ref(0), "other": ((1,),)}, "nested too deeply"),
])
def test_wrong_arguments_are_refused(args, message):
    with pytest.raises(GraphError, match=message):
        Call(OpNode("add.Tensor", args, (1,)), {})


@pytest.mark.parametrize("name", ["device", "memory_format", "pin_memory"])
def test_placement_cannot_be_chosen_by_a_graph(name):
    with pytest.raises(GraphError, match=name):
        Call(OpNode("clone", {"self": Ref(0), name: "cuda:1"}, (1,)), {})
