"""Waves: the server finishes the first half of what it sends before it begins the rest, then half of the rest, ...

The deep operators of an encoder and decoder need nearly all rows of the input, so most results would otherwise become
ready together after the last piece has come, and be encoded, sent and decoded while both devices wait.  In waves only
the last, smallest part is left to be sent in the end.  Nothing is computed twice: what a wave leaves in the line
buffers the next one reads; a wave only costs the calls that it makes.
"""
from typing import List, Mapping, Sequence

from intra_dp_ros.lop.interval import Interval
from intra_dp_ros.lop.tiling import Tiling


def wave_stops(tiling: Tiling, server_stop: Sequence[int], sent: Mapping[int, Interval], waves: int
               ) -> List[List[int]]:
    """Per wave and operator the row up to which it is computed; the last wave's are `server_stop`.

    Args:
        sent: tensor -> its rows that go to the robot.
        waves: at least 1.
    """
    found = []
    for halvings in range(1, waves):
        need = {t: left_of(rows.start, rows.stop, halvings) for t, rows in sent.items()}
        stops = [0] * len(server_stop)
        for v in range(len(stops) - 1, -1, -1):
            stops[v] = min(server_stop[v], max((need.get(t, 0) for t in tiling.graph.nodes[v].outputs), default=0))
            for t, rows in tiling.rules[v].maps if stops[v] else ():
                need[t] = max(need.get(t, 0), int(rows.hi[stops[v] - 1]))
        found.append(stops)
    return [*found, list(server_stop)]


def left_of(start, stop, halvings: int):
    """The boundary in rows ``[start, stop)``, numbers or arrays, behind which 1/2**halvings of them lie."""
    return stop - ((stop - start) >> halvings)
