"""Waiting for a robot's node to be ready, with a line whenever it begins with something else."""
import time
from typing import Any, Callable, Dict, Optional

from intra_dp_ros.ros.own_master import LaunchError

_LOOK_S = 0.5  # between looks at its status


def wait_until_ready(status_of: Callable[[], Optional[Dict[str, Any]]], is_ready: Callable[[Dict[str, Any]], bool],
                     check: Callable[[], None], within_s: float, log: str) -> Dict[str, Any]:
    """Model loaded, operators measured, weights uploaded, plans made; the status that was ready.

    Args:
        status_of: what the node says of itself; None: it says nothing yet.
        is_ready: whether that is what is waited for.
        check: raises what ends the waiting.
        log: where a user finds more.

    Raises:
        LaunchError: not within so many seconds.
    """
    end, said = time.monotonic() + within_s, ""
    while True:
        check()
        status = status_of()
        if status is not None and is_ready(status):
            return status
        doing = "" if status is None else status["doing"] or status["problem"] or status["state"]
        doing = doing or "loading the model"
        if doing != said:
            print("  {}".format(doing), flush=True)
            said = doing
        if time.monotonic() > end:
            raise LaunchError("not ready after {:.0f} s: {}; see {}".format(within_s, doing, log))
        time.sleep(_LOOK_S)
