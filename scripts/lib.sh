# Shared by the scripts of this folder: where things are, what must be installed, progress lines. Source it, do not run it.

REPO="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)"
# In build/, because rosrun leaves that folder of a package out when it looks for executables.
WS="$REPO/build/ws"
LOGS="$REPO/build/log"
PYTHON=/usr/bin/python3
NOETIC=/opt/ros/noetic/setup.bash
# Other Pythons (pyenv, conda) may come first, but ROS belongs to the system's.
export PATH="/usr/bin:$PATH"

# What the workspace is made of; everything else of the checkout stays out of sight of catkin, rospack and rosrun.
WORKSPACE_ENTRIES=(CMakeLists.txt package.xml setup.py CHANGELOG.rst LICENSE cfg config intra_dp_ros launch msg scripts srv test)

COMMON_PACKAGES=(build-essential cmake iproute2 iptables python3-matplotlib python3-networkx python3-numpy python3-opencv
  python3-psutil python3-scipy python3-setuptools python3-tornado python3-yaml)
DEBIAN_PACKAGES=(catkin libdynamic-reconfigure-config-init-mutex-dev librostest-dev
  python3-diagnostic-updater python3-dynamic-reconfigure python3-rosbag python3-roslaunch python3-rospy python3-rostest python3-tf2-ros python3-torch python3-torchvision ros-base ros-core-python-dev
  ros-message-generation rosbash)
NOETIC_PACKAGES=(ros-noetic-diagnostic-updater ros-noetic-dynamic-reconfigure ros-noetic-message-generation
  ros-noetic-ros-base ros-noetic-rostest ros-noetic-tf2-ros ros-noetic-visualization-msgs)
# What only scripts/test needs.
COMMON_TEST_PACKAGES=(python3-flake8 python3-hypothesis python3-pytest)
DEBIAN_TEST_PACKAGES=(catkin-lint chromium)
NOETIC_TEST_PACKAGES=(python3-catkin-lint)

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

is_noetic() {
  [ -f "$NOETIC" ]
}

# missing_packages [--tests]: Debian packages this machine lacks, one a line; with those of the tests.
missing_packages() {
  local wanted=("${COMMON_PACKAGES[@]}")
  if is_noetic; then wanted+=("${NOETIC_PACKAGES[@]}"); else wanted+=("${DEBIAN_PACKAGES[@]}"); fi
  if [ "${1:-}" = --tests ]; then
    wanted+=("${COMMON_TEST_PACKAGES[@]}")
    if is_noetic; then wanted+=("${NOETIC_TEST_PACKAGES[@]}"); else wanted+=("${DEBIAN_TEST_PACKAGES[@]}"); fi
  fi
  # dpkg-query exits 1 when a package is unknown to it; that is an answer here
  { dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true; } \
    | awk '$1 == "installed" { print $2 }' | sort -u > "$LOGS/installed"
  printf '%s\n' "${wanted[@]}" | sort -u | comm -23 - "$LOGS/installed"
}

# source_ros FILE: a ROS setup file reads variables that may be unset.
source_ros() {
  set +u
  # shellcheck disable=SC1090
  source "$1"
  set -u
  export PATH="/usr/bin:$PATH"
}

# One line for everything the built workspace depends on: rebuild when it differs from the line kept at the last build.
workspace_state() {
  (
    cd "$REPO"
    echo "$REPO $PYTHON"
    ls -d scripts/* intra_dp_ros/*/ "${WORKSPACE_ENTRIES[@]}" 2>/dev/null || true
    cat CMakeLists.txt package.xml setup.py cfg/*.cfg msg/*.msg srv/*.srv
  ) | sha256sum
}

workspace_is_current() {
  [ -f "$WS/devel/setup.bash" ] && [ "$(cat "$WS/state" 2>/dev/null)" = "$(workspace_state)" ]
}

# step NUMBER/TOTAL WORDS COMMAND...: runs COMMAND with its output in a log file, prints one progress line.
step() {
  local number="$1" words="$2" begin=$SECONDS log
  shift 2
  log="$LOGS/$(echo "$words" | tr -c 'a-zA-Z0-9\n' '_').log"
  printf '[%s] %s ... ' "$number" "$words"
  if "$@" > "$log" 2>&1 < /dev/null; then
    echo "$((SECONDS - begin)) s"
  else
    echo "FAILED after $((SECONDS - begin)) s, the end of $log:"
    tail -n "${TAIL_LINES:-25}" "$log" | sed 's/^/    /'
    return 1
  fi
}

mkdir -p "$LOGS"
