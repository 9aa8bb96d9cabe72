"""Power rails from a sysfs as a Jetson has it, and the energy of a piece of time."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intra_dp_ros.runtime.rails import EnergyMeter, Rails


def monitor(root, number, rails, name="ina3221"):
    folder = root / "hwmon{}".format(number)
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    for channel, (label, milli_volts, milli_amps) in enumerate(rails, 1):
        (folder / "in{}_label".format(channel)).write_text(label + "\n")
        (folder / "in{}_input".format(channel)).write_text("{}\n".format(milli_volts))
        (folder / "curr{}_input".format(channel)).write_text("{}\n".format(milli_amps))
    (folder / "in7_label").write_text("Sum of shunt voltages\n")
    return folder


def test_the_rail_that_feeds_the_board(tmp_path):
    monitor(tmp_path, 0, [("cpu_thermal", 1, 1)], "thermal")
    monitor(tmp_path, 3, [("VDD_IN", 5000, 2000), ("VDD_CPU_GPU_CV", 5000, 800), ("VDD_SOC", 5000, 400)])
    rails = Rails.find(str(tmp_path))
    assert rails.names == ("VDD_IN",) and rails.power_w() == pytest.approx(10.0)


def test_all_rails_where_none_feeds_the_board(tmp_path):
    monitor(tmp_path, 1, [("GPU", 19000, 100), ("CPU", 19000, 200), ("SOC", 19000, 100)])
    monitor(tmp_path, 2, [("CV", 19000, 0), ("VDDRQ", 19000, 50)])
    rails = Rails.find(str(tmp_path))
    assert rails.names == ("GPU", "CPU", "SOC", "CV", "VDDRQ") and rails.power_w() == pytest.approx(8.55)


def test_nothing_to_read(tmp_path):
    assert Rails.find(str(tmp_path)) is None
    folder = monitor(tmp_path, 1, [("VDD_IN", 5000, 2000)])
    (folder / "curr1_input").write_text("not now\n")
    assert Rails.find(str(tmp_path)) is None


@settings(deadline=None)
@given(powers=st.lists(st.floats(0.0, 60.0), min_size=2, max_size=20), begin=st.floats(-1.0, 25.0),
       length=st.floats(0.0, 10.0))
def test_energy(powers, begin, length):
    """Against the same line of power, added up in small steps."""
    now, power = [0.0], [powers[0]]
    meter = EnergyMeter(lambda: power[0], lambda: now[0])
    for number, value in enumerate(powers[1:], 1):
        now[0], power[0] = float(number), value
        meter.sample()

    def mean(second):  # what `energy` takes the power to be: between two samples their mean
        low = int(min(max(second, 0), len(powers) - 2))
        if second < 0 or second > len(powers) - 1:
            return powers[0] if second < 0 else powers[-1]
        return (powers[low] + powers[low + 1]) / 2
    steps = 4000
    expected = sum(mean(begin + (i + 0.5) * length / steps) for i in range(steps)) * length / steps
    assert meter.energy(begin, begin + length) == pytest.approx(expected, abs=0.2)


def test_a_rail_that_fails_keeps_its_last_power():
    answers, now = iter([8.0, OSError("gone"), OSError("gone")]), iter([0.0, 1.0, 2.0])

    def power():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    meter = EnergyMeter(power, lambda: next(now))
    meter.sample()
    meter.sample()
    assert meter.energy(0.0, 2.0) == pytest.approx(16.0)
