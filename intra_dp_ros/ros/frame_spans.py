"""What robot, link and server did during one frame, put together from what the robot and the server tell of it."""
from typing import Any, Dict, List, Mapping, Sequence


def measured_spans(frame: Mapping[str, Any], robot: Mapping[str, Any],
                   servers: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """All lanes of a frame, on the robot's clock.

    Args:
        frame: an element of the robot's "recent".
        robot, servers: the JSON of GetStatus; of the servers, those that do not serve this robot do not matter.

    Returns:
        Spans with "lane", "start_s", "stop_s" (since the inference began [s]), "label".
    """
    spans = list(frame["spans"])
    to_frame = robot["server_clock_offset_s"] + frame["began"]
    for server in servers:
        for served in server["robots"].get(robot["robot_id"], {}).get("recent", ()):
            if served["frame"] == frame["frame"]:
                spans += [{"lane": "server", "start_s": start - to_frame, "stop_s": stop - to_frame,
                           "label": "compute"} for start, stop in served["spans"]]
    return spans
