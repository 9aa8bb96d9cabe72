"""The store: round trips of every dtype, resumable uploads, and what it must refuse."""
import hashlib
import json
import os
import stat
import threading
import time

import pytest
import torch
from torch import nn

from intra_dp_ros.graph.blobs import Blobs
from intra_dp_ros.graph.constants import const_spec, tensor_from_bytes, tensor_to_bytes
from intra_dp_ros.graph.execute import WholeModel
from intra_dp_ros.graph.graph import ConstSpec, Graph, GraphError
from intra_dp_ros.graph.record import record
from intra_dp_ros.graph.registry import TORCH_DTYPE
from intra_dp_ros.graph.store import Store, StoredWeights, StoreError


@pytest.fixture
def recording():
    torch.manual_seed(0)
    return record(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval(), (torch.rand(1, 3, 6, 6),))


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def upload(store, data, chunk=1000):
    name = hashlib.sha256(data).hexdigest()
    for offset in range(0, len(data), chunk):
        store.blobs.write_chunk(name, offset, len(data), data[offset:offset + chunk])
    return name


@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (2, 0, 3)])
@pytest.mark.parametrize("dtype", sorted(TORCH_DTYPE))
def test_tensors_keep_their_bits(dtype, shape):
    tensor = (torch.randn(shape) * 3).to(TORCH_DTYPE[dtype])
    data = bytes(tensor_to_bytes(tensor))
    back = tensor_from_bytes(data, shape, dtype)
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape) and torch.equal(back, tensor)
    assert const_spec(tensor) == ConstSpec(shape, dtype, hashlib.sha256(data).hexdigest())
    assert const_spec(tensor).nbytes == len(data)


def test_transposed_tensors_are_written_densely():
    tensor = torch.arange(6.).reshape(2, 3).t()
    assert torch.equal(tensor_from_bytes(bytes(tensor_to_bytes(tensor)), (3, 2), "float32"), tensor)


def test_wrong_length_is_refused():
    with pytest.raises(GraphError, match="5 bytes"):
        tensor_from_bytes(b"12345", (2,), "float32")


def test_round_trip(store, recording):
    graph, weights = recording.graph, recording.weights
    name = store.put_graph(graph, weights)
    assert name == graph.hash and store.missing(graph) == []
    again = Store(store.folder)
    assert again.get_graph(name) == graph
    loaded = again.weights(graph)
    assert set(loaded) == set(weights) and all(torch.equal(loaded[k], weights[k]) for k in weights)
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(WholeModel(graph, loaded)(x)[0], WholeModel(graph, weights)(x)[0])
    assert stat.S_IMODE(os.stat(store.folder).st_mode) == 0o700


def test_upload_blob_by_blob(tmp_path, store, recording):
    graph = recording.graph
    store.put_graph(graph, recording.weights)
    server = Store(str(tmp_path / "server"))
    server.put_graph(graph)
    wanted = server.missing(graph)
    assert set(wanted) == {spec.sha256 for spec in graph.constants.values()}
    with pytest.raises(StoreError, match="missing"):
        server.weights(graph)
    for name in wanted:
        assert store.blob_size(name) == len(store.blob(name))
        assert upload(server, store.blob(name), chunk=50) == name
    assert server.missing(graph) == []
    assert all(torch.equal(v, recording.weights[k]) for k, v in server.weights(graph).items())


def test_interrupted_upload_resumes(store):
    data = bytes(range(256)) * 4
    name = hashlib.sha256(data).hexdigest()
    assert store.blobs.write_chunk(name, 0, 1024, data[:300]) == 300
    again = Store(store.folder)
    assert again.blobs.write_chunk(name, 0, 1024, b"") == 300  # how far it is
    assert again.blobs.write_chunk(name, 0, 1024, data[:300]) == 300  # a repeated chunk is not written twice
    assert again.blobs.write_chunk(name, 500, 1024, data[500:600]) == 300  # neither is one after a gap
    with pytest.raises(StoreError, match="is not in"):
        again.blob(name)
    assert again.blobs.write_chunk(name, 300, 1024, data[300:]) == 1024
    assert again.blob(name) == data and again.blob_size(name) == 1024
    assert again.blobs.write_chunk(name, 0, 1024, data[:10]) == 1024
    assert [f for f in os.listdir(os.path.join(store.folder, "blobs")) if f != name] == []


def test_empty_blob(store):
    name = hashlib.sha256(b"").hexdigest()
    assert store.blobs.write_chunk(name, 0, 0, b"") == 0 and store.blob(name) == b""


def test_wrong_content_is_deleted(store):
    name = hashlib.sha256(b"right").hexdigest()
    with pytest.raises(StoreError, match="are not blob"):
        store.blobs.write_chunk(name, 0, 5, b"wrong")
    assert os.listdir(os.path.join(store.folder, "blobs")) == []
    assert store.blobs.write_chunk(name, 0, 5, b"right") == 5


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n", None, 3])
def test_only_hashes_are_names(store, name):
    for use in (store.blob, store.blob_size, store.get_graph, lambda n: store.blobs.write_chunk(n, 0, 1, b"x")):
        with pytest.raises(StoreError, match="64"):
            use(name)


@pytest.mark.parametrize("offset, total", [(-1, 5), (4, 5), (0, -1), (0, 1)])
def test_chunks_that_do_not_fit_are_refused(store, offset, total):
    with pytest.raises(StoreError, match="does not fit"):
        store.blobs.write_chunk("a" * 64, offset, total, b"xy")


def test_limit(tmp_path, recording):
    store = Store(str(tmp_path / "small"), limit_bytes=100)
    with pytest.raises(StoreError, match="no room"):
        store.blobs.write_chunk("a" * 64, 0, 101, b"x")
    with pytest.raises(StoreError, match="no room"):
        store.put_graph(recording.graph, recording.weights)


def test_chunks_in_flight_at_once_wait_for_one_another(store):
    data = os.urandom(1000)
    name = hashlib.sha256(data).hexdigest()
    got = []
    threads = [threading.Thread(target=lambda o=o: got.append(
        store.blobs.write_chunk(name, o, 1000, data[o:o + 250], wait_s=20.0))) for o in (750, 500, 250)]
    for thread in threads:
        thread.start()
    assert store.blobs.write_chunk(name, 0, 1000, data[:250]) == 250
    for thread in threads:
        thread.join(30.0)
    assert sorted(got) == [500, 750, 1000] and store.blob(name) == data


def test_abandoned_uploads_make_room_oldest_first(tmp_path):
    blobs = Blobs(str(tmp_path), limit_bytes=100, limit_parts=3)
    for number, name in enumerate("abc"):
        blobs.write_chunk(name * 64, 0, 40, bytes(30))
        begun = time.time() - 1000.0 + number
        os.utime(blobs.path(name * 64) + ".part", (begun, begun))
    assert blobs.write_chunk("d" * 64, 0, 35, bytes(30)) == 30  # the oldest has gone: three at once
    assert [blobs.received(name * 64) for name in "abcd"] == [0, 30, 30, 30]
    assert blobs.write_chunk("d" * 64, 30, 40, b"x") == 31
    assert blobs.write_chunk("e" * 64, 0, 60, bytes(5)) == 5  # so has the next
    with pytest.raises(StoreError, match="no room"):  # the others are being uploaded just now
        blobs.write_chunk("f" * 64, 0, 70, bytes(5))
    assert [blobs.received(name * 64) for name in "bcde"] == [0, 0, 31, 5]


@pytest.mark.parametrize("limits, word", [({"limit_parts": 2}, "unfinished"), ({"limit_blobs": 2}, "one more blob")])
def test_number_of_blobs_is_limited(tmp_path, limits, word):
    blobs = Blobs(str(tmp_path), 1000, **limits)
    for name in "ab":
        blobs.write_chunk(name * 64, 0, 9, b"x")
    with pytest.raises(StoreError, match=word):
        blobs.write_chunk("c" * 64, 0, 9, b"x")
    assert blobs.write_chunk("a" * 64, 1, 9, b"x") == 2  # what has begun goes on


def test_weights_are_read_when_they_are_asked_for(tmp_path, store, recording):
    weights = StoredWeights(store, recording.graph)
    store.put_graph(recording.graph)
    first, second = sorted(recording.weights)[:2]
    assert len(weights) == len(recording.weights) == len(list(weights))
    upload(store, bytes(tensor_to_bytes(recording.weights[first])))
    assert torch.equal(weights[first], recording.weights[first])
    with pytest.raises(StoreError, match="missing"):
        weights[second]
    with pytest.raises(KeyError):
        weights["none"]


def test_weights_that_are_not_the_recorded_ones_are_refused(store, recording):
    name = next(iter(recording.weights))
    with pytest.raises(StoreError, match="record again"):
        store.put_graph(recording.graph, {name: recording.weights[name] + 1})


def test_changed_graph_file_is_refused(store, recording):
    name = store.put_graph(recording.graph, recording.weights)
    path = os.path.join(store.folder, "graphs", name + ".json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"relu"', '"tanh"'))
    with pytest.raises(StoreError, match="another graph"):
        store.get_graph(name)


@pytest.mark.parametrize("change", [
    lambda g: g.update(version=99), lambda g: g.pop("nodes"), lambda g: g.update(nodes=3),
    lambda g: g["nodes"][0].update(op=7, args=[]), lambda g: g["nodes"][0]["args"].update(input={"t": 999}),
    lambda g: g["nodes"][0]["args"].update(input={"exec": "print(1)"}), lambda g: g["outputs"].append(12345),
    lambda g: g["tensors"].append([[-1], "float32"]), lambda g: g["tensors"].append([[1], "object"]),
    lambda g: g["nodes"].append(g["nodes"][0]), lambda g: g["constants"].clear(),
])
def test_hostile_graphs_are_refused(recording, change):
    raw = json.loads(recording.graph.to_json())
    change(raw)
    with pytest.raises(GraphError):
        WholeModel(Graph.from_json(json.dumps(raw)), recording.weights)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"version": 1}', "cos\nsystem\n(S'id'\ntR."])
def test_texts_that_are_no_graphs_are_refused(text):
    with pytest.raises(GraphError):
        Graph.from_json(text)


def test_a_graph_cannot_name_a_file(store, recording):
    raw = json.loads(recording.graph.to_json())
    next(iter(raw["constants"].values()))[2] = "../../../etc/passwd"
    with pytest.raises(StoreError, match="64"):
        store.weights(Graph.from_json(json.dumps(raw)))
