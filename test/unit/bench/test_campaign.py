"""What a campaign keeps of its runs, with drivers and a shaper that only say they were there."""
import pytest

from intra_dp_ros.bench import campaign
from intra_dp_ros.bench.campaign import play
from intra_dp_ros.bench.testbed import Setting
from intra_dp_ros.bench.traces import NamedTrace
from intra_dp_ros.wire.shaper import Trace

TRACE = NamedTrace(Trace([0.0, 30.0], [8e6, 4e6], 60.0), "t")


class Air:
    """Like the kernel's: a rate that stays is not told again."""

    def __init__(self):
        self.now, self.told = 100.0, [(100.0, 1e6)]

    def hold(self, rate):
        self.now += 1.0
        self.told.append((self.now, rate))

    def play(self, traces, start_s):
        self.now += 1.0
        self.told.append((self.now + 0.01, traces[0].rate(start_s)))
        return self.now

    def truth(self, _, when):
        return [rate for moment, rate in self.told if moment <= when][-1]

    def changes(self, _):
        return list(self.told)


class Testbed:
    __test__ = False
    server, robots = None, ()

    def __init__(self):
        self.setting, self.air = Setting("net", ""), Air()

    def all(self, op, patience_s, *_, **arguments):
        if op == "run":
            sent = self.air.now + arguments["seconds"] - 0.5
            return [{"inputs": "", "weights": "random", "weights_note": "", "lost": 1, "ran_s": 3.0,
                     "frames": [dict(sent=sent, latency_ms=100.0, rel_error=1e-7, strategy=arguments["strategy"])],
                     "estimates": [(sent, 7e6, 1e-3, 0.0, "traffic")]}]
        return [{}]


def test_every_run_keeps_its_piece_of_the_trace_and_the_rates_that_the_shaper_set():
    said = []
    blocks = play(Testbed(), TRACE, ["local", "offload"], 4.0, 0.1, 0, said.append, 2.0)
    assert blocks.pieces == [(0.0, 2.0), (30.0, 2.0)], "once for every piece, not for every strategy"
    assert len(blocks.changes) == len(said) == 4 and blocks.lost == {"local": 2, "offload": 2}
    for run in blocks.changes:
        (begin, held), (changed, rate) = run["rates"]
        assert held == TRACE.mean and changed - begin == pytest.approx(0.01)
        assert rate == TRACE.trace.rate(run["segment"] * 30.0 - 1.0), "where the warm-up begins"
    assert {(run["strategy"], run["segment"]) for run in blocks.changes} == {
        (name, segment) for name in ("local", "offload") for segment in (0, 1)}
    assert all(e["truth"] == blocks.changes[2 * e["segment"]]["rates"][-1][1] for e in blocks.estimates)


@pytest.mark.parametrize("listed, kept", [
    ([(0.0, 5e6), (1.0, 4e6), (2.5, 3e6)], [(2.0, 4e6), (2.5, 3e6)]),
    ([(2.0, 5e6), (2.1, 5e6), (2.2, 1e6), (2.3, 1e6)], [(2.0, 5e6), (2.2, 1e6)])])
def test_the_changes_of_a_run_begin_with_it(listed, kept):
    class Air:
        def truth(self, _, when):
            return [rate for moment, rate in listed if moment <= when][-1]

        def changes(self, _):
            return listed
    assert campaign._rates(Air(), 0, 2.0) == kept
