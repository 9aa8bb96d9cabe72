"""Tiles bring rows over exactly, and nothing but what the plan lets travel."""
import dataclasses
import math
from zlib import crc32

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.graph.graph import ITEMSIZE
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.wire import tile as tile_module
from intra_dp_ros.wire.codec import CodecError, available
from intra_dp_ros.wire.messages import AGAIN, PROBE, Tile
from intra_dp_ros.wire.tile import TileError, TileSpec, decode_tile, encode_rows, no_rows, probe_tile

torch.set_num_threads(1)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


def octets(tensor):
    tensor = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor  # numpy has no bfloat16
    return tensor.cpu().numpy().tobytes()


def random_tensor(shape, dtype, seed=0):
    """Any bit pattern at all, NaN included; bools are 0 or 1."""
    random = np.random.RandomState(seed)
    if dtype == "bool":
        return torch.from_numpy(random.randint(0, 2, shape, dtype=np.uint8)).bool().reshape(shape)
    data = random.randint(0, 256, max(1, math.prod(shape)) * ITEMSIZE[dtype]).astype(np.uint8)
    return torch.from_numpy(data).view(TORCH_DTYPE[dtype])[:math.prod(shape)].reshape(shape)


def make(rows, axis=2, start=0, codec="raw", dtype="float32", tensor=5):
    data = encode_rows(rows, codec)
    count = 1 if axis is None else rows.shape[axis]
    return Tile("robot", session=1, frame=1, epoch=1, sequence=0, tensor=tensor, axis=-1 if axis is None else axis,
                start=start, stop=start + count, shape=tuple(rows.shape), dtype=dtype, codec=codec, crc32=crc32(data),
                data=data)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", sorted(ITEMSIZE))
@pytest.mark.parametrize("codec", [c for c in available() if c != "png"])
@given(shape=st.lists(st.integers(0, 5), max_size=6), data=st.data())
@settings(deadline=None, max_examples=20)
def test_rows_come_over(device, codec, dtype, shape, data):
    whole = random_tensor(tuple(shape), dtype).to(device)
    axes = [None] + [a for a, n in enumerate(shape) if n]
    axis = data.draw(st.sampled_from(axes))
    start, rows = 0, whole
    if axis is not None:
        start = data.draw(st.integers(0, shape[axis] - 1))
        rows = whole.narrow(axis, start, data.draw(st.integers(1, shape[axis] - start)))  # seldom contiguous
    spec = TileSpec(5, axis, tuple(shape), dtype, 0, 1 if axis is None else shape[axis], codec)
    found = decode_tile(make(rows, axis, start, codec, dtype), {5: spec}, device)
    assert found.dtype == rows.dtype and found.shape == rows.shape and found.device.type == device
    assert octets(found) == octets(rows)


@pytest.mark.parametrize("shape, axis", [((1, 8, 6, 3), 1), ((1, 3, 8, 6), 2), ((8, 6), 0)])
@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_pictures_come_over_as_png(shape, axis, dtype):
    whole = random_tensor(shape, dtype)
    spec = TileSpec(5, axis, shape, dtype, 0, 8, "png")
    found = decode_tile(make(whole.narrow(axis, 2, 3), axis, 2, "png", dtype), {5: spec})
    assert torch.equal(found, whole.narrow(axis, 2, 3))


def test_results_can_be_written_and_gradients_do_not_matter():
    rows = torch.ones(1, 2, 3, 4, requires_grad=True)
    found = decode_tile(make(rows), {5: TileSpec(5, 2, (1, 2, 3, 4), "float32", 0, 3, "raw")})
    found += 1
    assert torch.equal(found, torch.full((1, 2, 3, 4), 2.0))


def test_what_cannot_be_encoded():
    with pytest.raises(CodecError, match="complex64"):
        encode_rows(torch.zeros(2, dtype=torch.complex64), "raw")
    with pytest.raises(CodecError, match="float32"):
        encode_rows(torch.zeros(2, 2), "png")


def good(codec="raw"):
    """A tile of rows [3, 6) of a tensor, and what may travel: rows [2, 8) of 10."""
    rows = torch.rand(1, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    return make(rows, start=3, codec=codec), {5: TileSpec(5, 2, (1, 4, 10, 5), "float32", 2, 8, codec)}


@pytest.mark.parametrize("changed, words", [
    (dict(tensor=6), ("tensor 6", "5")),
    (dict(tensor=PROBE), ("tensor -1", "5")),
    (dict(dtype="float64"), ("dtype", "'float64'", "'float32'")),
    (dict(dtype="object"), ("dtype", "'object'", "'float32'")),
    (dict(codec="lz4"), ("codec", "'lz4'", "'raw'")),
    (dict(shape=(1,) * 7), ("rank", "7", "6")),
    (dict(axis=-1), ("axis", "-1", "2")),
    (dict(axis=1), ("axis", "1", "2")),
    (dict(start=1), ("start, stop", "(1, 6)", "[2, 8)")),
    (dict(stop=9), ("start, stop", "(3, 9)", "[2, 8)")),
    (dict(start=6), ("start, stop", "(6, 6)", "[2, 8)")),
    (dict(start=7), ("start, stop", "(7, 6)", "[2, 8)")),
    (dict(stop=2 ** 32 - 1), ("start, stop", "4294967295", "[2, 8)")),
    (dict(start=4), ("shape", "(1, 4, 3, 5)", "(1, 4, 2, 5)")),
    (dict(shape=(1, 4, 3, 6)), ("shape", "(1, 4, 3, 6)", "(1, 4, 3, 5)")),
    (dict(shape=(4, 3, 5)), ("shape", "(4, 3, 5)", "(1, 4, 3, 5)")),
    (dict(data=bytes(239)), ("length", "239", "240")),
    (dict(data=b""), ("length", "0", "240")),
    (dict(data=bytes(240)), ("crc32",)),
    (dict(crc32=7), ("crc32", "7")),
])
def test_one_wrong_field_is_refused_and_named(changed, words):
    tile, specs = good()
    assert decode_tile(tile, specs).shape == (1, 4, 3, 5)
    with pytest.raises(TileError) as error:
        decode_tile(dataclasses.replace(tile, **changed), specs)
    for word in ("tensor {}".format(changed.get("tensor", 5)), *words):
        assert word in str(error.value)


def test_the_order_of_the_checks():
    """Each check is reached only when those before it hold."""
    tile, specs = good()
    wrong = [("tensor", dict(tensor=9)), ("dtype", dict(dtype="int8")), ("codec", dict(codec="png")),
             ("rank", dict(shape=(1,) * 9)), ("axis", dict(axis=0)), ("start", dict(start=0)),
             ("shape", dict(shape=(1, 4, 3, 9))), ("length", dict(data=b"1")), ("crc32", dict(crc32=1))]
    for i, (word, _) in enumerate(wrong):
        fields = {}
        for _, change in reversed(wrong[i:]):
            fields.update(change)
        with pytest.raises(TileError, match=word):
            decode_tile(dataclasses.replace(tile, **fields), specs)


def test_nothing_is_decoded_before_the_checks(monkeypatch):
    monkeypatch.setattr(tile_module, "decode", lambda *_: pytest.fail("decoded too early"))
    tile, specs = good()
    with pytest.raises(TileError, match="crc32"):
        decode_tile(dataclasses.replace(tile, crc32=1), specs)
    huge = TileSpec(5, 2, (1, 2 ** 20, 2 ** 20, 5), "float32", 0, 2 ** 20, "lz4")
    with pytest.raises(TileError, match="size .*expected at most 268435456"):
        decode_tile(dataclasses.replace(tile, codec="lz4", start=0, stop=2 ** 20, shape=huge.shape), {5: huge})


def test_encoded_data_that_is_not_of_this_shape():
    tile, specs = good("lz4")
    for data in (b"", b"nonsense", encode_rows(torch.zeros(59), "lz4"), encode_rows(torch.zeros(61), "lz4")):
        with pytest.raises(TileError, match="tensor 5: data"):
            decode_tile(dataclasses.replace(tile, data=data, crc32=crc32(data)), specs)


def test_bools_are_0_or_1():
    data = bytes([0, 1, 2])
    tile = dataclasses.replace(make(torch.zeros(3, dtype=torch.bool), 0, dtype="bool"), data=data, crc32=crc32(data))
    with pytest.raises(TileError, match="tensor 5: data is .*2.*expected 0 and 1"):
        decode_tile(tile, {5: TileSpec(5, 0, (3,), "bool", 0, 3, "raw")})


def test_messages_stay_short():
    tile, specs = good()
    with pytest.raises(TileError) as error:
        decode_tile(dataclasses.replace(tile, codec="x" * 100000), specs)
    assert len(str(error.value)) < 200


FIELDS = dict(
    tensor=st.integers(-1, 7), axis=st.integers(-128, 127), start=st.integers(0, 9), stop=st.integers(0, 2 ** 32 - 1),
    shape=st.lists(st.integers(0, 2 ** 32 - 1), max_size=8).map(tuple), dtype=st.sampled_from(sorted(ITEMSIZE)),
    codec=st.text(max_size=5), crc32=st.integers(0, 2 ** 32 - 1), data=st.binary(max_size=300))
SOME_FIELDS = st.lists(st.sampled_from(sorted(FIELDS)), unique=True).flatmap(  # Ubuntu 20.04 has no `optional`
    lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in names}))


@pytest.mark.parametrize("codec", [c for c in available() if c != "png"])
@given(SOME_FIELDS, st.booleans())
@settings(deadline=None)
def test_any_tile_is_decoded_or_refused(codec, fields, true_crc):
    tile, specs = good(codec)
    if true_crc and "data" in fields:
        fields = dict(fields, crc32=crc32(fields["data"]))
    tile = dataclasses.replace(tile, **fields)
    try:
        rows = decode_tile(tile, specs)
    except TileError as error:
        assert "tensor {}".format(tile.tensor) in str(error)
    else:
        assert rows.shape == (1, 4, 3, 5) and rows.dtype == torch.float32


def test_probes():
    probe = probe_tile("robot", 7, 8192)
    assert (probe.tensor, probe.session, probe.frame, probe.sequence) == (PROBE, 0, 0, 7)
    assert len(probe.data) == 8192 and probe.crc32 == crc32(probe.data) and probe.data != probe_tile("r", 7, 8192).data
    if "lz4" in available():
        assert len(encode_rows(torch.from_numpy(np.frombuffer(probe.data, np.uint8).copy()), "lz4")) > 8192
    with pytest.raises(ValueError, match="-1"):
        probe_tile("robot", 0, -1)


@pytest.mark.parametrize("changed", [{"data": b"x"}, {"shape": (1,)}, {"start": 1}, {"stop": 3}, {"more": True}])
def test_a_tile_that_only_says_something_brings_nothing(changed):
    word = Tile("r", 7, 1, 2, 0, AGAIN, -1, 0, 0, (), "uint8", "raw", 0, b"")
    assert no_rows(word).numel() == 0
    with pytest.raises(TileError, match="tensor -2: {}".format(next(iter(changed)))):
        no_rows(dataclasses.replace(word, **changed))
