"""Several robots on one server, in numbers."""
import pytest

from intra_dp_ros.bench import scaling


def test_fairness():
    assert scaling.jain([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert scaling.jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert scaling.jain([]) is None and scaling.jain([0.0]) is None  # which JSON knows, unlike nan


def test_shares_and_report(tmp_path):
    frames = [{"robot": robot, "segment": segment, "trace_s": 10 * segment + k * 0.1, "latency_ms": 100.0 + 100 * robot}
              for robot in (0, 1) for segment in (0, 1) for k in range(5)]
    found = scaling.shares(frames, 2)
    assert found["robots_mean_ms"] == [100.0, 200.0]
    assert found["frames_per_s"] == pytest.approx(5 / 0.5 + 5 / 0.6)
    assert found["fairness_latency"] == pytest.approx(0.9)
    assert scaling.shares([], 2)["frames_per_s"] is None
    starved = scaling.shares([f for f in frames if f["robot"] == 0], 4)  # three robots got nothing
    assert starved["fairness_rate"] == pytest.approx(0.25) and starved["robots_mean_ms"] == [100.0]
    strategy = dict(found, mean_ms=150.0, p95_ms=200.0, frames_lost=0, share_local=0.0, share_offload=0.75,
                    server_cpu_share=0.5, cpu_share=None, measured_over_predicted={"median": 1.01, "p95": None})
    cells = [{"model": "net", "trace": "t", "robots": n, "strategies": {"intra_dp": strategy}} for n in (1, 4)]
    lines = scaling.table(cells)
    assert "| 25% | 1.01, - |" in lines[2] and len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    alone = dict(cells[0], model="other")
    assert scaling.series([*cells, alone]) == cells and scaling.series([alone]) == []
    scaling.picture(cells, str(tmp_path / "s.png"))
    assert (tmp_path / "s.png").stat().st_size > 0
