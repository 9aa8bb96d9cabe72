"""What the tool for the documentation's pictures says where something is missing."""
import pytest

pytest.importorskip("intra_dp_ros.msg")
from intra_dp_ros.ros import screenshots  # noqa: E402


@pytest.mark.parametrize("picture, packages", [
    ("kapao", ("ros-noetic-rviz", "xvfb")), ("agrnav", ("ros-noetic-rviz", "xvfb")), ("dashboard", ("chromium",))])
def test_what_is_missing_is_named(monkeypatch, capsys, picture, packages):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert screenshots.main([picture, "--out", "/nowhere"]) == 1
    said = capsys.readouterr().err
    assert all("install the package" in line for line in said.splitlines()) and all(name in said for name in packages)
