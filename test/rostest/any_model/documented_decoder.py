"""The decoder of the documentation, which is not in the workspace, where a node finds it."""
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..", "docs", "examples"))
from best_class import decode  # noqa: E402,F401
