"""Uploads end with every weight on the server, whatever breaks on the way, and send nothing twice that arrived."""
import hashlib
import random
import threading
import time

import pytest
import torch

from intra_dp_ros.graph.blobs import Blobs, StoreError
from intra_dp_ros.graph.constants import tensor_to_bytes
from intra_dp_ros.graph.record import record
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.server import Server
from intra_dp_ros.runtime.upload import Uploader
from intra_dp_ros.wire.link import ControlError, InProcessLink
from intra_dp_ros.wire.messages import BlobReply

WAIT_S = 40.0


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "{} took more than {:.0f} s".format(what, WAIT_S)
        time.sleep(0.01)


def set_event():
    event = threading.Event()
    event.set()
    return event


def named(*sizes):
    """Weights of so many bytes by SHA-256."""
    source = torch.Generator().manual_seed(5)
    tensors = [torch.randint(0, 256, (size,), dtype=torch.uint8, generator=source) for size in sizes]
    return {hashlib.sha256(tensor_to_bytes(t)).hexdigest(): t for t in tensors}


class Store:
    """A server's store as a control; `fault` is called with every request and may raise or change it."""

    def __init__(self, folder, fault=lambda request: request):
        self.blobs = Blobs(str(folder), 1 << 30)
        self.fault = fault
        self.pieces = []  # (name, offset, bytes) as they came

    def put(self, request):
        data = self.fault(request.data)
        self.pieces.append((request.sha256, request.offset, len(request.data)))
        try:
            received = self.blobs.write_chunk(request.sha256, request.offset, request.total, data, 2.0)
        except StoreError as error:
            return BlobReply(False, str(error))
        self.fault(b"")  # the answer may be lost, too
        return BlobReply(True, "", received)

    def has(self, weights):
        return all(self.blobs.size(name) == len(tensor_to_bytes(t)) for name, t in weights.items())


def upload(weights, control, received=(), **options):
    uploader = Uploader("robot", weights, control, set_event(), **options)
    uploader.want(list(weights), received)
    until(lambda: uploader.holds(weights), "the upload")
    uploader.close()
    return uploader


def test_everything_arrives_once(tmp_path):
    weights, store, said = named(3 << 20, 0, 7, 100000), Store(tmp_path), []
    uploader = upload(weights, store, progress=lambda *line: said.append(line))
    assert store.has(weights)
    assert sum(size for _, _, size in store.pieces) == sum(len(t) for t in weights.values())
    assert len({(name, offset) for name, offset, _ in store.pieces}) == len(store.pieces)
    until(lambda: any(done == total for _, done, total in said), "the last word")
    assert uploader.status()["missing"] == 0 and "MB/s" in said[0][0]


def test_requests_and_answers_get_lost(tmp_path):
    dice = random.Random(3)

    def fault(data):
        if dice.random() < 0.15:
            raise ControlError("lost")
        return data
    weights, store = named(2 << 20, 5, 300000, 0), Store(tmp_path, fault)
    upload(weights, store)
    assert store.has(weights)


def test_goes_on_where_the_server_stands(tmp_path):
    weights, store = named(1 << 20, 1000), Store(tmp_path)
    (big, tensor), (small, _) = weights.items()
    data = bytes(tensor_to_bytes(tensor))
    store.blobs.write_chunk(big, 0, len(data), data[:900000])
    upload(weights, store, [900000, 0])
    assert store.has(weights)
    assert sum(size for name, _, size in store.pieces if name == big) == len(data) - 900000


def test_a_restarted_server_that_lost_what_it_had(tmp_path):
    weights, store = named(1 << 20), Store(tmp_path)
    upload(weights, store, [900000])  # the server has nothing of it
    assert store.has(weights)


def test_a_spoilt_blob_begins_anew(tmp_path):
    spoilt = []

    def fault(data):
        if data and not spoilt:
            spoilt.append(1)
            return bytes(len(data))
        return data
    weights, store = named(600000), Store(tmp_path, fault)
    upload(weights, store)
    assert spoilt and store.has(weights)


def test_a_blob_that_is_refused_for_ever_is_named(tmp_path):
    weights, store = named(1000), Store(tmp_path, lambda data: bytes(len(data)))
    uploader = Uploader("robot", weights, store, set_event())
    uploader.want(list(weights))
    until(lambda: len(store.pieces) >= 2, "the second attempt")
    until(lambda: "are not blob" in uploader.problem, "a word on it")
    uploader.close()
    assert not uploader.holds(weights)


def test_what_is_needed_goes_first(tmp_path):
    gate = threading.Event()
    store = Store(tmp_path, lambda data: gate.wait(WAIT_S) and data)
    weights = named(*range(1000, 1020))
    names, uploader = list(weights), Uploader("robot", weights, store, set_event())
    first = {names[15], names[18]}
    uploader.want(names[3:])
    uploader.order(first, names)
    gate.set()
    until(lambda: uploader.holds(names), "the upload")
    uploader.close()
    begun = [name for name, _, _ in store.pieces]
    assert first <= set(begun[:2 + 3])  # three were on their way when the order was given
    assert len(begun) == 17


def test_frames_go_first(tmp_path):
    busy = threading.Event()
    busy.set()
    weights, store = named(4 << 20), Store(tmp_path)
    uploader = Uploader("robot", weights, store, set_event(), is_busy=busy.is_set)
    uploader.want(list(weights))
    until(lambda: len(store.pieces) >= 2, "a second piece though frames leave no gap")
    assert max(size for _, _, size in store.pieces) <= 32768
    busy.clear()
    until(lambda: uploader.holds(weights), "the upload")
    uploader.close()


def test_nothing_is_sent_while_the_robot_stays_alone(tmp_path):
    weights, store, wanted = named(1000), Store(tmp_path), threading.Event()
    uploader = Uploader("robot", weights, store, wanted)
    uploader.want(list(weights))
    time.sleep(0.3)
    assert store.pieces == []
    wanted.set()
    until(lambda: uploader.holds(weights), "the upload")
    uploader.close()


@pytest.fixture(scope="module")
def recording():
    torch.set_num_threads(1)
    torch.manual_seed(2)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 8, 3, 2, 1))
    return record(net.eval(), (torch.rand(1, 3, 96, 96),))


class Services:
    """A server behind a switch for every weight."""

    def __init__(self, folder):
        self.robot_end, server_end = InProcessLink.pair()
        self.server = Server(folder, lambda robot_id: server_end)
        self.held = set()  # SHA-256 of weights that do not get through
        self.sent = []

    def open(self, request):
        return self.server.open(request)

    def put(self, request):
        if request.sha256 in self.held:
            raise ControlError("this weight does not get through")
        self.sent.append(request.sha256)
        return self.server.put(request)

    def close(self):
        self.server.close()
        self.robot_end.close()


def test_plans_wait_for_their_weights_and_nothing_is_sent_again(recording, tmp_path):
    names = [recording.graph.constants[c].sha256 for node in recording.graph.nodes for c in node.constants]
    image = torch.rand(1, 3, 96, 96)
    services = Services(str(tmp_path / "server"))
    services.held = {names[-1]}
    robot = Robot(recording, str(tmp_path / "robot"), RobotConfig(strategy="offload", slowdown=40.0))
    try:
        robot.connect(services.robot_end, services)
        until(lambda: robot.connection.session and len(set(services.sent)) == len(names) - 1, "the other weights")
        until(lambda: robot.connection.is_alive, "a session before all weights are there")
        assert robot.infer((image,)).stats.outcome == "local" and robot.status()["upload"]["missing"] == 1
        assert not robot.has_plans("offload")
        services.held = set()
        until(lambda: robot.has_plans("offload") and robot.uplink > 0, "the plans")
        until(lambda: robot.infer((image,)).stats.outcome == "split", "a split frame")
    finally:
        robot.close()
        services.close()
    assert len(services.sent) == len(set(services.sent)) == len(names)
    again = Services(str(tmp_path / "server"))
    robot = Robot(recording, str(tmp_path / "robot"), RobotConfig(strategy="offload", slowdown=40.0))
    try:
        robot.connect(again.robot_end, again)
        until(lambda: robot.has_plans("offload") and robot.uplink > 0, "the plans after a restart of both")
        until(lambda: robot.infer((image,)).stats.outcome == "split", "a split frame")
    finally:
        robot.close()
        again.close()
    assert again.sent == []
