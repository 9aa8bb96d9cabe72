"""Two lines in an existing program: ``from intra_dp_ros import IntraDP`` and ``model = IntraDP(model)``."""
import collections
import importlib
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import torch

from intra_dp_ros.graph.graph import GraphError
from intra_dp_ros.graph.record import Recording, ReplayError, record
from intra_dp_ros.graph.structure import leaves, map_tensors, signature
from intra_dp_ros.runtime.codec_costs import default_codec
from intra_dp_ros.runtime.config import RobotConfig
from intra_dp_ros.runtime.robot import Robot
from intra_dp_ros.runtime.stats import FrameStats
from intra_dp_ros.wire.link import Control, Link

_LOG = logging.getLogger(__name__)
Connect = Callable[[str], Optional[Tuple[Link, Control]]]  # robot id -> the robot's ends; None: no way to a server
_READY = 8  # recordings kept ready, one for each kind of arguments; the least recently used goes first
_MOST = 16  # recordings made: a model that is called differently every time would only ever be recorded
_ROS_PART = "intra_dp_ros.ros.connect"
_CONNECT_S = 5.0  # between looks for a way to the server, while there is none
_FIRST_S = 2.0  # a first call waits so long for the first look: without a server it is no slower than that
_TOO_MANY = ("it was called with more than {} kinds of arguments (shapes, types, plain values): pass numbers that "
             "change as tensors").format(_MOST)
#: Methods of a module after which its recordings are of another model.
_CHANGES = frozenset({"train", "eval", "to", "cpu", "cuda", "half", "float", "double", "bfloat16", "type", "apply",
                      "load_state_dict", "requires_grad_"})


@dataclass(frozen=True)
class _Ready:
    """What answers calls with one kind of arguments."""

    robot: Robot
    link: Optional[Link]
    recording: Recording
    search: "_Search"


class _Search:
    """Looks for a way to the server again and again, on a thread: a master that is not there may keep one waiting for
    minutes, and a program that is a node already for ever."""

    def __init__(self, connect: Connect, robot_id: str) -> None:
        self._connect, self._robot_id = connect, robot_id
        self._next = 0.0
        self._thread: Optional[threading.Thread] = None
        self._change = threading.Lock()  # covers the two below
        self._found: Optional[Tuple[Link, Control]] = None
        self._is_closed = False

    def ends(self, within_s: float = 0.0) -> Optional[Tuple[Link, Control]]:
        """What was found; None: nothing yet.

        Args:
            within_s: how long a look that is going on is waited for [s].
        """
        if self._found is None and time.monotonic() > self._next and (
                self._thread is None or not self._thread.is_alive()):
            self._next = time.monotonic() + _CONNECT_S
            self._thread = threading.Thread(target=self._look, name="connect", daemon=True)
            self._thread.start()
        if self._thread is not None and within_s > 0.0:
            self._thread.join(within_s)
        return self._found

    def close(self) -> None:
        """What was found, or will be, is not needed."""
        with self._change:
            self._is_closed, found = True, self._found
        if found is not None:
            found[0].close()

    def _look(self) -> None:
        try:
            found = self._connect(self._robot_id)
        except Exception as error:  # whatever a way to the server makes go wrong: the model runs
            warn_once("looking for the server failed: {!r}: the model runs on this machine alone".format(error))
            found = None
        with self._change:
            self._found, is_closed = found, self._is_closed
        if is_closed and found is not None:
            found[0].close()


class IntraDP:
    """A model that is called as before, and runs split with a server when that is faster.

    The first call with arguments of a kind (shapes, types, plain values) records the model (paper, Algorithm 1) and
    measures its operators; later calls replay the record.  Where a model begins to depend on values (``nonzero``,
    loops, branches), the rest of it runs here, in the model's own code.  A model that cannot be recorded at all runs as
    it is; a warning says why.  Attributes and methods are the model's, also those that are set, which begins anew: what
    is recorded holds the values of then.

    Thread-safe: calls take turns.

    Args:
        model: in eval mode; neither changed nor copied.
        config: see `RobotConfig`; its robot_id must be unique among the robots of a server; default: `RobotConfig` with
            lossless codecs, on the device of the first tensor of the first call.
        connect: how to reach the server (`runtime.in_process` has one for a single process); default: over ROS topics,
            where ROS is there.
        folder: cache of profiles and plans on disk.

    Attributes:
        model: as given.
        stats: of the last call's split part, None when the model ran as it is.
    """

    def __init__(self, model: Callable, config: Optional[RobotConfig] = None, connect: Optional[Connect] = None,
                 folder: str = os.path.join("~", ".cache", "intra_dp_ros", "robot")) -> None:
        self.model = model
        self.stats: Optional[FrameStats] = None
        self._config = config
        self._lock = threading.RLock()
        self._connect = connect or _over_ros
        self._folder = folder
        self._ready: "collections.OrderedDict[Any, _Ready]" = collections.OrderedDict()  # by signature
        self._plain: Dict[Any, str] = {}  # by signature, or by reason: why the model runs as it is
        self._tried = 0  # recordings, since `close`
        self._made = 0  # robots
        self._report = "not called yet"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's result, nested as the model nests it, on the device of the first tensor given.

        Raises:
            Exception: what the model raises.
        """
        with self._lock:
            return self._call(args, kwargs)

    def _call(self, args: Tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self.stats = None
        kwargs = dict(sorted(kwargs.items()))  # the same call in another order is the same call
        try:
            key = signature((args, tuple(kwargs.items())))
        except GraphError as error:
            return self._run_plain(str(error), str(error), args, kwargs)
        if key in self._plain:
            return self._run_plain(key, self._plain[key], args, kwargs)
        if key not in self._ready:
            if self._tried >= _MOST:
                return self._run_plain(_TOO_MANY, _TOO_MANY, args, kwargs)
            try:
                self._add(key, args, kwargs)
            except GraphError as error:
                return self._run_plain(key, str(error), args, kwargs)
            except Exception as error:  # the model's own is raised again
                return self._run_plain(key, "recording failed: {!r}".format(error), args, kwargs)
        self._ready.move_to_end(key)
        ready = self._ready[key] = self._linked(self._ready[key])
        tensors = leaves((args, kwargs))
        done = ready.robot.infer(tensors)
        began = time.monotonic()
        try:
            result = ready.recording.finish(self.model, args, kwargs, done.outputs)
        except ReplayError as error:
            return self._run_plain(key, "it is not what was recorded: {}".format(error), args, kwargs)
        except Exception as error:  # the model's own is raised again
            return self._run_plain(key, "its rest failed: {!r}".format(error), args, kwargs)
        self.stats = done.stats
        self._report = _in_words(done.stats, ready.recording, time.monotonic() - began)
        # the caller may write to its results, which torch refuses for tensors made in inference mode
        device = tensors[0].device
        return map_tensors(result, lambda t: (t.clone() if t.is_inference() else t).to(device))

    def report(self) -> str:
        """One line on the last call: what ran where, and how long it took."""
        return self._report

    def close(self) -> None:
        """Leave the server.  The next call records again."""
        with self._lock:
            while self._ready:
                self._drop(next(iter(self._ready)))
            self._plain.clear()
            self._tried = 0

    def __getattr__(self, name: str) -> Any:
        if name == "model" or name.startswith("__"):  # not yet there (unpickling, copying)
            raise AttributeError(name)
        found = getattr(self.model, name)
        if name not in _CHANGES or not isinstance(self.model, torch.nn.Module):
            return found

        def change(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.close()
                result = found(*args, **kwargs)
            return self if result is self.model else result
        return change

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("model", "stats") or name.startswith("_"):
            super().__setattr__(name, value)
            return
        with self._lock:
            self.close()
            setattr(self.model, name, value)

    def _run_plain(self, key: Any, reason: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The model as it is, now and, unless it fails itself, for all such calls to come."""
        with torch.no_grad():
            result = self.model(*args, **kwargs)
        if key not in self._plain:
            if reason not in self._plain.values():
                _LOG.warning("the model runs as it is, not split: %s", reason)
            self._plain[key] = reason
        if key in self._ready:
            self._drop(key)
        self._report = "as it is, not split: " + reason
        return result

    def _add(self, key: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        self._tried += 1
        recording = record(self.model, args, kwargs)
        while len(self._ready) >= _READY:
            self._drop(next(iter(self._ready)))
        self._made += 1
        config = self._config
        if config is None:
            device = str(leaves((args, kwargs))[0].device)
            config = self._config = RobotConfig(input_codec=default_codec(), device=device)
        robot_id = config.robot_id + ("_{}".format(self._made) if self._made > 1 else "")
        robot = Robot(recording, self._folder, replace(config, robot_id=robot_id))
        search = _Search(self._connect, robot_id)
        ends = search.ends(_FIRST_S)
        if ends is not None:
            robot.connect(*ends)
        if recording.tail is not None:
            _LOG.warning("%s%s", recording.tail.sentence, _remedy(self.model))
        self._ready[key] = _Ready(robot, None if ends is None else ends[0], recording, search)

    def _linked(self, ready: _Ready) -> _Ready:
        """The same, with the way to the server where one was found since."""
        ends = None if ready.link is not None else ready.search.ends()
        if ends is None:
            return ready
        ready.robot.connect(*ends)
        return replace(ready, link=ends[0])

    def _drop(self, key: Any) -> None:
        ready = self._ready.pop(key)
        ready.robot.close()
        if ready.link is not None:
            ready.link.close()
        else:
            ready.search.close()


@lru_cache(maxsize=None)
def warn_once(text: str) -> None:
    """For what is looked at again and again."""
    _LOG.warning("%s", text)


def _in_words(done: FrameStats, recording: Recording, rest_s: float) -> str:
    words = "{}{}: {}; {:.1f} ms (expected {:.1f}), {} byte up, {} byte down".format(
        done.outcome, " ({})".format(done.reason) if done.reason else "", done.plan, done.inference_s * 1e3,
        done.predicted_s * 1e3, done.bytes_up, done.bytes_down)
    rest = recording.rest
    return "{}; then {:.1f} ms here: {}".format(words, rest_s * 1e3, rest) if rest else words


def _remedy(model: Any) -> str:
    """What would keep the end of a known kind of model in its graph; "" for others."""
    parts = model.modules() if isinstance(model, torch.nn.Module) else ()
    if any(type(part).__module__.startswith("torchvision.models.detection") for part in parts):
        return "; intra_dp_ros.apps.detection.fixed_size keeps a torchvision detector's box selection in the graph"
    return ""


def _over_ros(robot_id: str) -> Optional[Tuple[Link, Control]]:
    """The ROS layer, found by name: nothing below it imports it, and without ROS the model runs locally.

    A program that uses rospy itself becomes a node first: rospy allows one `init_node` a process.
    """
    rospy = sys.modules.get("rospy")
    if rospy is not None and _ROS_PART not in sys.modules and not rospy.core.is_initialized():
        warn_once("this program uses rospy but is no node yet: the model runs on this machine alone until "
                  "rospy.init_node was called")
        return None
    try:
        connect = importlib.import_module(_ROS_PART).connect
    except ImportError as error:
        warn_once("no ROS here ({}): the model runs on this machine alone".format(error))
        return None
    return connect(robot_id)
