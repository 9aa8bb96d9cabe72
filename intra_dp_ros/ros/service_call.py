"""A connection to a ROS service whose waiting ends: a dead link is noticed by bytes that nobody acknowledges.

rospy's proxies may block for ever, and a call that is given up leaves a thread and a stuck connection behind.  This is
the same protocol (TCPROS) on a socket of our own.  One call at a time; a connection that failed is closed.
"""
import fcntl
import io
import select
import socket
import struct
import termios
import time
import xmlrpc.client
from typing import Any, Dict, Tuple, Type
from urllib.parse import urlparse

import rosgraph
import rospy

from intra_dp_ros.ros.master import RPC_ERRORS, TimedTransport

_LOOK_S = 0.1  # between looks at what the other side has acknowledged
_NO_SERVER = "start the server (roslaunch intra_dp_ros server.launch) and give both sides the same ns"
_MOST_REPLY = 128 << 20  # [byte]
_SLICE = 1 << 18  # sent or received at once [byte]


class ServiceError(RuntimeError):
    """The service is not there, is silent, or failed; the message says which.

    Attributes:
        is_answer: whether the service itself said so, over a connection that still works.
    """

    def __init__(self, message: str, is_answer: bool = False) -> None:
        super().__init__(message)
        self.is_answer = is_answer


def find_service(name: str, timeout_s: float, remedy: str = _NO_SERVER) -> Tuple[str, int]:
    """Host and port of a service, asked of the ROS master.

    Args:
        name: of the service, resolved.
        timeout_s: for the master's answer [s].
        remedy: what to do when there is no such service.

    Raises:
        ServiceError: the master does not answer or knows no such service.
    """
    uri = rosgraph.get_master_uri()
    try:
        with xmlrpc.client.ServerProxy(uri, transport=TimedTransport(timeout_s)) as master:
            code, _, found = master.lookupService(rospy.get_name(), name)
    except RPC_ERRORS as error:
        raise ServiceError("the ROS master {} does not answer: {}".format(uri, error)) from None
    place = urlparse(found) if code == 1 else None
    if place is None or not place.hostname or not place.port:
        raise ServiceError("there is no service {} on the ROS master {}: {}".format(name, uri, remedy))
    return place.hostname, place.port


class ServiceConnection:
    """One open connection to a service.

    Args:
        name: of the service, resolved.
        kind: generated service class.
        address: see `find_service`.
        connect_s: for the connection to be made [s].
        stall_s: with bytes on their way and none acknowledged, the link is taken for dead [s].

    Raises:
        ServiceError: nobody there, or not such a service.
    """

    def __init__(self, name: str, kind: Type[Any], address: Tuple[str, int], connect_s: float, stall_s: float) -> None:
        self._name = name
        self._kind = kind
        self._stall_s = stall_s
        try:
            self._socket = socket.create_connection(address, timeout=connect_s)
        except OSError as error:
            raise ServiceError("service {} at {}:{} cannot be reached: {}".format(name, *address, error)) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setblocking(False)
            self._send(memoryview(_header({"callerid": rospy.get_name(), "service": name, "md5sum": kind._md5sum,
                                           "type": kind._type, "persistent": "1"})))
            answer = self._receive(self._length(stall_s), stall_s)
            if b"error=" in answer:
                raise ServiceError("service {} refuses: {}; install the same version on both sides".format(
                    name, answer.split(b"error=", 1)[1][:200].decode("utf-8", "replace")))
        except (OSError, ServiceError) as error:
            self.close()
            raise error if isinstance(error, ServiceError) else ServiceError(str(error)) from None

    def call(self, request: Any, timeout_s: float) -> Any:
        """The service's response; a long request may take longer than `timeout_s` as long as bytes are acknowledged.

        Raises:
            ServiceError: see there; unless it `is_answer`, the connection is closed.
        """
        buffer = io.BytesIO()
        buffer.write(b"\0\0\0\0")
        request.serialize(buffer)
        whole = buffer.getbuffer()
        struct.pack_into("<I", whole, 0, len(whole) - 4)
        try:
            self._send(whole)
            works = self._receive(1, timeout_s)[0]
            body = self._receive(self._length(timeout_s), timeout_s)
        except OSError as error:
            self.close()
            raise ServiceError("service {}: the connection broke: {}".format(self._name, error)) from None
        except ServiceError:
            self.close()
            raise
        if not works:
            raise ServiceError("service {} failed: {}".format(self._name, body.decode("utf-8", "replace")), True)
        return self._kind._response_class().deserialize(body)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, data: memoryview) -> None:
        sent, moved, left = 0, time.monotonic(), -1
        while sent < len(data):
            _, writable, _ = select.select([], [self._socket], [], _LOOK_S)
            if writable:
                sent += self._socket.send(data[sent:sent + _SLICE])
                moved, left = time.monotonic(), -1
            else:
                moved, left = self._watch(moved, left)

    def _receive(self, count: int, timeout_s: float) -> bytes:
        parts, moved, left = bytearray(), time.monotonic(), -1
        end = moved + timeout_s
        while len(parts) < count:
            readable, _, _ = select.select([self._socket], [], [], _LOOK_S)
            if readable:
                part = self._socket.recv(min(count - len(parts), _SLICE))
                if not part:
                    raise ServiceError("service {} closed the connection".format(self._name))
                parts += part
                continue
            moved, left = self._watch(moved, left)
            if left:  # the request is still on its way: the time of the answer has not begun
                end = time.monotonic() + timeout_s
            elif time.monotonic() > end:
                raise ServiceError("service {} did not answer within {:g} s: check the network and the server's log"
                                   .format(self._name, timeout_s))
        return bytes(parts)

    def _length(self, timeout_s: float) -> int:
        length = struct.unpack("<I", self._receive(4, timeout_s))[0]
        if length > _MOST_REPLY:
            raise ServiceError("service {} announces a reply of {} bytes".format(self._name, length))
        return length

    def _watch(self, moved: float, queued: int) -> Tuple[float, int]:
        """(when bytes were last acknowledged, bytes that are not); raises ServiceError when the link stands still."""
        left = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        now = time.monotonic()
        if left != queued or not left:
            return now, left
        if now - moved > self._stall_s:
            raise ServiceError("service {}: nothing arrives for {:g} s: check the network to the server".format(
                self._name, self._stall_s))
        return moved, left


def _header(fields: Dict[str, str]) -> bytes:
    lines = [("{}={}".format(*field)).encode() for field in fields.items()]
    body = b"".join(struct.pack("<I", len(line)) + line for line in lines)
    return struct.pack("<I", len(body)) + body
