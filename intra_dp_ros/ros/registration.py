"""This node's registrations, made again with a ROS master that was restarted: rospy makes them once.

Threading: one thread a process, for all its links: asking the master costs a millisecond, and a server has many links.
"""
import logging
import threading
import time
from functools import lru_cache

import rospy

from intra_dp_ros.ros.master import Master, MasterError

_LOG = logging.getLogger(__name__)
_PERIOD_S = 0.5  # between looks


@lru_cache(maxsize=None)
def keep_registered() -> None:
    """From now on, until the node shuts down; it must have been initialised.  Further calls change nothing."""
    threading.Thread(target=_watch, name="registration", daemon=True).start()


def _watch() -> None:
    master, known = Master(), None
    while not rospy.is_shutdown():
        try:
            pid = master.pid()
            if known is not None and pid != known:
                _LOG.warning("the ROS master was restarted: registering again")
                master.register_again()
            known = pid
        except MasterError as error:  # what is connected goes on without it
            _LOG.debug("%s", error)
        except Exception:  # without this thread nobody would find this node again
            _LOG.exception("watching the ROS master failed; it goes on")
        time.sleep(_PERIOD_S)
