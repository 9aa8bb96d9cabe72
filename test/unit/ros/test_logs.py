"""Lines of the package's own loggers reach the terminal, /rosout and the log file, each once."""
import subprocess
import sys

import pytest

pytest.importorskip("rospy")
pytest.importorskip("intra_dp_ros.msg")

#: rospy's own configuration of logging, as `init_node` loads it; /rosout is a second list.
PROGRAM = """
import logging, sys
logger = logging.getLogger("intra_dp_ros.runtime.part")  # made at import, before the node is one
import rosgraph.roslogging
from rospy.impl import rosout
from intra_dp_ros.ros.logs import show_logs
heard = []
rosout._rosout = lambda level, text, *_: heard.append((level, text))
rosgraph.roslogging.configure_logging("node", filename=sys.argv[1])
rosout.load_rosout_handlers(None)
MORE
show_logs()
show_logs()
logger.debug("not asked for")
logger.info("session is open")
logger.warning("tile %d is dropped", 7)
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("a frame failed")
logging.getLogger("rosout").info("of the node itself")
with open(sys.argv[2], "w") as file:
    file.writelines("{} {}\\n".format(level, text.splitlines()[0]) for level, text in heard)
"""
OURS = ["session is open", "tile 7 is dropped", "a frame failed"]
#: As some have it in their python_logging.conf: everything to the terminal.
ROOT_TOO = "logging.getLogger().addHandler(logging.getLogger('rosout').handlers[0])"


@pytest.mark.parametrize("more", ["", ROOT_TOO], ids=["as it comes", "root has the terminal"])
def test_each_line_comes_once_everywhere(tmp_path, more):
    done = subprocess.run([sys.executable, "-c", PROGRAM.replace("MORE", more), str(tmp_path / "node.log"),
                           str(tmp_path / "rosout")], timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    assert done.returncode == 0 and "Logging error" not in done.stderr, done.stderr
    terminal, kept = done.stdout + done.stderr, (tmp_path / "node.log").read_text()
    for text in OURS:
        assert (terminal.count(text), kept.count(text)) == (1, 1), text
    assert (tmp_path / "rosout").read_text().splitlines() == [
        "2 session is open", "4 tile 7 is dropped", "8 a frame failed", "2 of the node itself"]
    assert "ZeroDivisionError" in done.stderr and "not asked for" not in terminal + kept
