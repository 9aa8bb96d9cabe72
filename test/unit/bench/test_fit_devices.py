"""The fitted devices: in the bench, in the simulator, and fitted again where the published times are."""
import os

import pytest
import torch

from intra_dp_ros.bench import devices, fit_devices, frames, simulate
from intra_dp_ros.bench.devices import FITTED, fitted_path, open_devices
from intra_dp_ros.bench.emulated import from_file, make_profiles
from intra_dp_ros.bench.published import Data
from intra_dp_ros.graph.record import record
from intra_dp_ros.loss import device_model
from intra_dp_ros.loss.device_csv import Row
from intra_dp_ros.lop.axis import prepare
from intra_dp_ros.lop.tiling import Tiling

torch.set_num_threads(1)
DATA = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..", "shared", "data")


def test_the_bench_emulates_them(tmp_path):
    folders = str(tmp_path / "robot"), str(tmp_path / "server")
    robot, server, words = make_profiles(FITTED, "mobilenet_v3_small@1x64x64x3", 0, *folders)
    assert "(config/devices/published.yaml); whole frame" in words
    again = make_profiles(fitted_path(), "mobilenet_v3_small@1x64x64x3", 0, *folders)
    assert again[:2] == (robot, server) and "device model published.yaml; whole frame" in again[2]
    model = frames.load("mobilenet_v3_small@1x64x64x3", 0)
    tiling = Tiling(prepare(frames.record_whole(model)).graph)
    rows = [rule.rows for rule in tiling.rules]
    for path, device in zip((robot, server), open_devices(FITTED)):
        assert from_file(path)(tiling).frame_ms(rows) == pytest.approx(device.frame_ms(tiling.graph))
        assert device.frame_ms(tiling.graph) > len(rows) * device.call_ms, "small operators cost their calls"


def test_the_simulator_takes_them(tmp_path, capsys):
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s,MBps\n0,4\n1,1\n2,4\n")
    options = ["--model", "sconet-style", "--input", "1x1x16x32x16", "--trace", str(trace), "--strategies", "local"]
    assert simulate.main([*options, "--profile", FITTED]) == 0
    assert "device model fitted to the published ones" in capsys.readouterr().out
    mine = tmp_path / "mine.yaml"
    mine.write_text("robot: {}\n")
    assert simulate.main([*options, "--profile", str(mine)]) == 1
    assert "mine.yaml describes no robot and server" in capsys.readouterr().err
    assert simulate.main([*options, "--profile", str(tmp_path / "nothing.yaml")]) == 1
    assert "nothing.yaml" in capsys.readouterr().err


def test_installed_files_lie_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "__file__", str(tmp_path / "lib/python3/dist-packages/intra_dp_ros/bench/devices.py"))
    assert fitted_path() == str(tmp_path / "share/intra_dp_ros/config/devices/published.yaml")


def test_a_sample_knows_what_was_measured():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
                              torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.Flatten()).eval()
    rows = (Row("_start", (1, 3, 8, 8), 0.0, 0.0), Row("conv2d", (1, 4, 8, 8), 0.0, 0.0),
            Row("batch_norm", (1, 4, 8, 8), 1.0, 0.1), Row("relu_", (1, 4, 8, 8), 2.0, 0.2),
            Row("conv2d", (1, 4, 8, 8), 4.0, 0.4), Row("flatten", (1, 256), 0.2, 0.03))
    sample = fit_devices.Sample("net", Tiling(record(net, (torch.zeros(1, 3, 8, 8),)).graph), rows)
    assert [row.op for _, row in sample.found()] == ["relu_", "conv2d", "flatten"], "the first has no time"
    assert [(o.work.family, o.ms) for o in sample.observed(1)] == [
        ("elementwise", 0.2), ("convolution", 0.4), ("normalisation", 0.1)]
    assert sample.observed(0)[0].ms == pytest.approx(2.0 * 0.915) and sample.observed(0)[2].work.nbytes == 2 * 4 * 256
    assert sample.calls(1) == [0.03]


def test_missing_times_are_named(tmp_path, capsys):
    assert fit_devices.main(["--data", str(tmp_path)]) == 1
    assert "kapao.csv is missing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def samples():
    try:
        data = Data(DATA)
    except FileNotFoundError:
        pytest.skip("the published measurements are not beside this checkout: the devices cannot be fitted again")
    return fit_devices.read_samples(data)


def test_fitting_again_gives_the_file_that_comes_with_the_package(samples):
    for side, kept in enumerate(device_model.read(fitted_path())):
        found = fit_devices.fitted(samples, side)
        assert found.name == kept.name
        assert (found.call_ms, found.launch_ms) == pytest.approx((kept.call_ms, kept.launch_ms), rel=0.01)
        for family, rate in kept.rates.items():
            ours = found.rates[family]
            assert (ours.ms_per_gflop, ours.ms_per_gb) == pytest.approx((rate.ms_per_gflop, rate.ms_per_gb), rel=0.01)


def test_published_frames_are_met(samples):
    """What docs/simulation.md says of the devices that come with the package."""
    for side, device in enumerate(device_model.read(fitted_path())):
        for sample in samples:
            found = fit_devices.check(sample, device, side)
            assert 0.8 <= found.frame <= 1.1 and 0.8 <= found.operators <= 1.1, (sample.name, side)
            assert side or found.error < 0.12 and found.count > 20
    assert fit_devices.validation(samples[1:3]).count("\n") == 2 + 3
