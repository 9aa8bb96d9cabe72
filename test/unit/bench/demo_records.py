"""A made-up demo record: one run of three strategies over a link with one drop."""
import numpy as np

from intra_dp_ros.bench.record import BandwidthPoint, DemoRecord, FrameSample, Span

BASE_MS = {"local": 460.0, "offload": 215.0, "intra_dp": 160.0}


def make_sample(strategy="intra_dp", frame=1, **changes):
    values = dict(strategy=strategy, frame=frame, stamp=float(frame), time_s=frame * 0.5, latency_ms=100.0,
                  inference_ms=90.0, predicted_ms=80.0, outcome="split", reason="", state="SPLIT",
                  plan="server rows 0-300, robot 300-480, 4 chunks", bandwidth_MBps=11.0, bytes_up=500000,
                  bytes_down=2000, energy_j=1.0, rel_error=-1.0, parts={"capture": 4.0, "publish": 3.0})
    values.update(changes)
    return FrameSample(**values)


def make_record(**changes):
    random = np.random.RandomState(1)
    samples, points = [], []
    for strategy, base in BASE_MS.items():
        time = 0.0
        for frame in range(40):
            rate = 2.0 if 6.0 < time < 7.0 else 11.6 + 3.0 * np.sin(time)
            slow = 0.0 if strategy == "local" else 1.4e3 * (1.0 / rate - 1.0 / 11.6) * (0.3 if rate < 3.0 else 1.0)
            total = base + slow * (1.0 if strategy == "offload" else 0.5) + abs(random.normal(0.0, 8.0))
            taken = strategy == "intra_dp" and rate < 3.0
            parts = {"capture": 6.0, "publish": 4.0, "robot_compute": total - 12.0} if strategy == "local" else {
                "capture": 6.0, "encode": 4.0, "uplink_wait": total * 0.55, "server_compute": total * 0.35,
                "robot_compute": 0.0 if strategy == "offload" else total * 0.5, "downlink": 5.0, "merge": 1.5,
                "publish": 4.0}
            samples.append(make_sample(
                strategy, frame, time_s=time, latency_ms=total, inference_ms=total - 10.0, parts=parts,
                predicted_ms=total * 0.95, outcome="local" if strategy == "local" else "takeover" if taken else "split",
                reason="no acknowledgement for 100 ms" if taken else "", energy_j=total * 0.009,
                bytes_up=0 if strategy == "local" else 610000, rel_error=3.5e-7 if frame % 10 == 0 else -1.0))
            time += max(0.25, total / 1e3)
        for i in range(200):
            t = i * 0.1
            rate = 2.0 if 6.0 < t < 7.0 else 11.6 + 3.0 * np.sin(t)
            points.append(BandwidthPoint(strategy, t, rate, 0.0 if strategy == "local" or t < 0.4 else
                                         max(0.5, rate * (0.93 + 0.05 * random.normal()))))
    values = dict(
        model="movenet-multipose", weights="pretrained", weights_note="a file", machine="2-core test machine",
        robot_slowdown=3.0, trace="config/traces/indoors_like.csv", mean_bandwidth_MBps=11.625, seconds=20.0,
        frames_in={"local": 40, "offload": 40, "intra_dp": 41}, samples=tuple(samples), bandwidth=tuple(points),
        measured_spans=spans(1.0), predicted_spans=spans(0.94), gantt_frame=17, input_shape=(1, 480, 640, 3),
        parameters=4700000)
    values.update(changes)
    return DemoRecord(**values)


def spans(factor):
    """Four raw chunks up, then four of what the robot computed meanwhile; the server follows; results come back."""
    out = []
    for i in range(4):
        out += [Span("robot", 22.0 * i, 22.0 * i + 21.0, "band {}".format(i)),
                Span("uplink", 13.0 * i, 13.0 * i + 13.0, "raw {}".format(i)),
                Span("uplink", 53.0 + 13.0 * i, 65.0 + 13.0 * i, "rows {}".format(i)),
                Span("server", 14.0 + 17.0 * i, 28.0 + 17.0 * i, "")]
    out += [Span("server", 104.0, 146.0, "rest"), Span("downlink", 146.0, 149.0, ""), Span("robot", 149.0, 151.0, "")]
    return tuple(Span(s.lane, s.start_ms * factor, s.stop_ms * factor, s.label) for s in out)
