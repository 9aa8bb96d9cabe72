"""The folders of the package import only those below them, and only `ros/` knows ROS."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'intra_dp_ros'
MAX_LINES = 400

# folder -> the folders it may import besides itself; '' is intra_dp_ros/__init__.py
ALLOWED = {
    'graph': set(),
    'lop': {'graph'},
    'loss': {'graph', 'lop'},
    'wire': {'graph'},
    'runtime': {'graph', 'lop', 'loss', 'wire'},
    'apps': {'graph', 'lop', 'loss', 'wire', 'runtime'},
    'bench': {'graph', 'lop', 'loss', 'wire', 'runtime', 'apps'},
    'ros': {'graph', 'lop', 'loss', 'wire', 'runtime', 'apps', 'bench'},
    '': {'runtime'},
}
ROS_MODULES = {'rospy', 'rosbag', 'roslib', 'rosgraph', 'roslaunch', 'rosnode', 'rostopic', 'rosparam', 'rosservice',
               'rostest', 'genpy', 'cv_bridge', 'message_filters', 'diagnostic_updater',
               'dynamic_reconfigure', 'tf',
               'tf2_ros', 'image_geometry'}


def imported(tree, package):
    """Dotted names of everything `tree` imports; `package`: the dotted name of the package its file is in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')
            base = parents[:len(parents) - node.level + 1] if node.level else []
            base = '.'.join(base + ([node.module] if node.module else []))
            for alias in node.names:
                yield node.lineno, base + '.' + alias.name


def is_ros(name):
    """Whether a dotted module name belongs to ROS or is generated from messages."""
    parts = name.split('.')
    generated = parts[0].endswith(('_msgs', '_srvs')) or (
        parts[0] == 'intra_dp_ros' and parts[1:2] and parts[1] in ('cfg', 'msg', 'srv'))
    return parts[0] in ROS_MODULES or generated


def violations(path, source):
    """What is wrong with a file; `path` is relative to the package, e.g. loss/search.py."""
    path = Path(path)
    folder = path.parts[0] if len(path.parts) > 1 else ''
    if folder not in ALLOWED:
        return ['%s: folder %r has no place in the order of the folders' % (path, folder)]
    found = []
    if source.count('\n') > MAX_LINES:
        found.append('%s: %d lines, at most %d' % (path, source.count('\n'), MAX_LINES))
    for line, name in imported(ast.parse(source), '.'.join(('intra_dp_ros',) + path.parts[:-1])):
        parts = name.split('.')
        where = '%s:%d: %s' % (path, line, name)
        if folder != 'ros' and is_ros(name):
            found.append(where + ': ROS is for ros/ only')
        elif parts[0] == 'intra_dp_ros' and len(parts) > 1 and parts[1] in ALLOWED:
            if parts[1] != folder and parts[1] not in ALLOWED[folder]:
                found.append(where + ': %s/ may not import %s/' % (folder, parts[1]))
        elif folder == 'loss' and parts[0] in ('torch', 'torchvision'):
            found.append(where + ': loss/ works without torch')
    return found


def test_the_package_keeps_to_the_order():
    files = sorted(PACKAGE.rglob('*.py'))
    assert len(files) > 10
    found = [v for f in files for v in violations(f.relative_to(PACKAGE), f.read_text(encoding='utf-8'))]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize('path, source', [
    ('graph/a.py', 'from intra_dp_ros.lop.plan import Plan'),
    ('wire/a.py', 'import intra_dp_ros.loss.search'),
    ('wire/a.py', 'from intra_dp_ros import lop'),
    ('lop/rules/a.py', 'from ... import loss'),
    ('lop/a.py', 'from ..runtime import robot'),
    ('loss/baselines/a.py', 'def f():\n    import torch.nn'),
    ('loss/a.py', 'from torch import nn'),
    ('runtime/a.py', 'import rospy'),
    ('apps/a.py', 'from sensor_msgs.msg import Image'),
    ('wire/a.py', 'from intra_dp_ros.msg import TensorTile'),
    ('wire/a.py', 'from .. import srv'),
    ('apps/a.py', 'from intra_dp_ros.bench import report'),
    ('bench/a.py', 'import intra_dp_ros.ros.params'),
    ('', 'from intra_dp_ros.ros import params'),
    ('elsewhere/a.py', ''),
    ('graph/a.py', '\n' * (MAX_LINES + 1)),
])
def test_the_checker_finds(path, source):
    assert len(violations(path or '__init__.py', source)) == 1


@pytest.mark.parametrize('path, source', [
    ('lop/rules/a.py', 'from intra_dp_ros.graph.graph import Graph\nfrom ..interval import Interval\nimport torch'),
    ('loss/a.py', 'import numpy\nfrom intra_dp_ros.lop.plan import Plan'),
    ('ros/a.py', 'import rospy\nfrom intra_dp_ros.msg import TensorTile\nfrom intra_dp_ros.apps import people'),
    ('wire/a.py', 'from intra_dp_ros.wire import messages\nimport roslz4'),
    ('__init__.py', 'def __getattr__(name):\n    from intra_dp_ros.runtime.client import IntraDP\n'),
    ('graph/a.py', '\n' * MAX_LINES),
])
def test_the_checker_lets_pass(path, source):
    assert violations(path, source) == []
