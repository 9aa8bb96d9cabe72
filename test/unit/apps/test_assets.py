"""The cache: hashes, offline behaviour, and archives made here in place of a registry."""
import hashlib
import os
import re
import tarfile

import pytest

from intra_dp_ros.apps import assets


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INTRA_DP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """One archive with two files, "fetched" by copying it."""
    source = tmp_path / "source"
    source.mkdir()
    table = {}
    with tarfile.open(str(source / "pack.tgz"), "w:gz") as tar:
        for name in ("a.bin", "b.bin", "../unwanted"):
            content = name.encode() * 100
            path = source / os.path.basename(name)
            path.write_bytes(content)
            tar.add(str(path), "package/" + name)
            if name != "../unwanted":
                table[name] = assets.Asset("pack", "package/" + name, hashlib.sha256(content).hexdigest(), len(content))
    archive = assets.Archive("cp", ("cp", str(source / "pack.tgz"), "."), ".tgz", "the pack", "look there", "get cp")
    monkeypatch.setattr(assets, "ARCHIVES", {"pack": archive})
    monkeypatch.setattr(assets, "ASSETS", table)
    return archive


def test_every_asset_is_pinned_and_comes_from_a_known_archive():
    for name, asset in assets.ASSETS.items():
        assert re.fullmatch("[0-9a-f]{64}", asset.sha256), name
        assert asset.size > 0 and asset.archive in assets.ARCHIVES
        assert os.path.basename(name) == name == os.path.basename(asset.member)


def test_fetch_fills_the_cache_once_and_leaves_nothing_else(cache, registry):
    lines = []
    assert assets.fetch(report=lines.append) == []
    assert sorted(os.listdir(str(cache))) == ["a.bin", "b.bin"] and len(lines) == 4
    assert assets.asset_path("a.bin") == str(cache / "a.bin")
    lines.clear()
    assert assets.fetch(report=lines.append) == [] and lines == []


def test_a_damaged_file_is_fetched_again(cache, registry):
    assets.fetch(report=lambda line: None)
    path = cache / "a.bin"
    path.write_bytes(b"x" * path.stat().st_size)
    assert assets.asset_path("a.bin") is None
    assert assets.fetch(report=lambda line: None) == [] and assets.asset_path("a.bin")


def test_content_that_is_not_what_was_pinned_is_not_used(cache, registry, monkeypatch):
    wrong = assets.Asset("pack", "package/a.bin", "0" * 64, assets.ASSETS["a.bin"].size)
    monkeypatch.setitem(assets.ASSETS, "a.bin", wrong)
    lines = []
    assert assets.fetch(["a.bin"], lines.append) == ["a.bin"]
    assert "pinned SHA-256" in lines[-1] and os.listdir(str(cache)) == []


@pytest.mark.parametrize("change, words", [
    ({"tool": "no-such-program"}, "no-such-program is not installed: get cp"),
    ({"command": ("sh", "-c", "echo registry is out of reach; exit 3")}, "registry is out of reach"),
    ({"command": ("true",)}, "left no .tgz file; look there")])
def test_what_is_missing_is_said_and_not_raised(cache, registry, monkeypatch, change, words):
    changed = assets.Archive(**{**vars(registry), **change})
    monkeypatch.setitem(assets.ARCHIVES, "pack", changed)
    lines = []
    assert assets.fetch(report=lines.append) == ["a.bin", "b.bin"]
    assert words in lines[-1] and "a.bin, b.bin" in lines[-1]
    assert assets.main(["--check"]) == 1
    assert assets.main([]) == 0


def test_names_are_checked(cache):
    with pytest.raises(SystemExit):
        assets.main(["nothing.bin"])
    with pytest.raises(KeyError):
        assets.asset_path("nothing.bin")


def test_the_default_cache_is_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("INTRA_DP_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/robot")
    assert assets.cache_folder() == "/home/robot/.cache/intra_dp_ros"
