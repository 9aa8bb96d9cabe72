"""The server's services as the robot's connection uses them: with timeouts that hold.

Threading: `open` and `put` may be called from several threads at once; each call has a connection of its own, which
stays open for later calls.  `_lock` covers the idle connections.
"""
import threading
import time
from typing import Any, Callable, Dict, List, Tuple, Type

import genpy

from intra_dp_ros.ros import conversions
from intra_dp_ros.ros.service_call import ServiceConnection, ServiceError, find_service
from intra_dp_ros.ros.topics import server_service
from intra_dp_ros.srv import OpenSession, PutBlob
from intra_dp_ros.wire.link import Control, ControlError
from intra_dp_ros.wire.messages import BlobReply, BlobRequest, OpenReply, OpenRequest

_CONNECT_S = 1.0  # a connection that was asked for while the link was down is asked for again
_STALL_S = 2.0  # without an acknowledged byte the link is dead: a new connection is faster than TCP's own patience


class RosControl(Control):
    """The services `<ns>/server/open_session` and `<ns>/server/put_blob`.

    Args:
        ns: namespace of the server's services.
        wait_s: for the service to exist [s].
        call_s: for its answer, once the request has arrived [s].
    """

    def __init__(self, ns: str, wait_s: float = 2.0, call_s: float = 15.0) -> None:
        self._wait_s = wait_s
        self._call_s = call_s
        self._open = server_service(ns, "open_session")
        self._put = server_service(ns, "put_blob")
        self._lock = threading.Lock()
        self._idle: Dict[str, List[ServiceConnection]] = {self._open: [], self._put: []}
        self._place: Dict[str, Tuple[str, int]] = {}  # service -> where it was last reached

    def open(self, request: OpenRequest) -> OpenReply:
        return self._ask(self._open, OpenSession, conversions.open_request_to_srv(request),
                         conversions.open_reply_from_srv)

    def put(self, request: BlobRequest) -> BlobReply:
        return self._ask(self._put, PutBlob, conversions.blob_request_to_srv(request),
                         conversions.blob_reply_from_srv)

    def _ask(self, name: str, kind: Type[Any], request: Any, convert: Callable[[Any], Any]) -> Any:
        connection = None
        try:
            connection = self._connection(name, kind)
            response = connection.call(request, self._call_s)
        except ServiceError as error:
            if error.is_answer:
                self._keep(name, connection)
            else:
                self._forget(name)
            raise ControlError(str(error)) from None
        self._keep(name, connection)
        try:
            return convert(response)
        except (conversions.MessageError, genpy.MessageException) as error:
            raise ControlError("service {} answered nonsense: {}".format(name, error)) from None

    def _connection(self, name: str, kind: Type[Any]) -> ServiceConnection:
        with self._lock:
            if self._idle[name]:
                return self._idle[name].pop()
            place = self._place.get(name)
        if place is not None:  # without the master, which may be gone or behind the same dead link
            try:
                return ServiceConnection(name, kind, place, _CONNECT_S, _STALL_S)
            except ServiceError:
                pass
        end = time.monotonic() + self._wait_s
        while True:
            try:
                place = find_service(name, _CONNECT_S)
                made = ServiceConnection(name, kind, place, _CONNECT_S, _STALL_S)
                break
            except ServiceError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        with self._lock:
            self._place[name] = place
        return made

    def _keep(self, name: str, connection: ServiceConnection) -> None:
        with self._lock:
            self._idle[name].append(connection)

    def _forget(self, name: str) -> None:
        """A connection broke: the idle ones, made at the same time over the same link, are no better."""
        with self._lock:
            idle, self._idle[name] = self._idle[name], []
        for connection in idle:
            connection.close()
