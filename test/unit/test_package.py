"""What the package says of itself is true: versions, scripts, launch files, messages, dependencies, Python floor."""

import ast
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Names that Python 3.8 lacks, by the module they would be imported or taken from.
NEWER = {
    'functools': {'cache'},
    'itertools': {'pairwise', 'batched'},
    'math': {'lcm', 'nextafter', 'ulp', 'cbrt', 'exp2'},
    'typing': {'Annotated', 'ParamSpec', 'TypeAlias', 'Self', 'TypeGuard', 'NotRequired', 'assert_never'},
    'contextlib': {'aclosing', 'chdir'},
    'random': {'randbytes'},
}
NEWER_METHODS = {'removeprefix', 'removesuffix', 'bit_count', 'is_relative_to', 'with_stem', 'hardlink_to'}
BUILTIN_GENERICS = {'list', 'dict', 'tuple', 'set', 'frozenset', 'type'}


def read(name):
    return (ROOT / name).read_text(encoding='utf-8')


def package_xml():
    return ElementTree.fromstring(read('package.xml'))


def installed_scripts():
    """Scripts that CMakeLists.txt installs, relative to the root."""
    text = re.sub(r'#.*', '', read('CMakeLists.txt'))
    blocks = re.findall(r'catkin_install_python\(PROGRAMS(.*?)DESTINATION', text, re.S)
    return [script for block in blocks for script in block.split()]


def newer_than_38(source):
    """What `source` uses that Python 3.8 lacks and that its grammar alone does not show."""
    tree = ast.parse(source)
    postponed = any(isinstance(n, ast.ImportFrom) and n.module == '__future__' and
                    any(a.name == 'annotations' for a in n.names) for n in tree.body)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {a.name for a in node.names} & NEWER.get(node.module, set())
            found += [(node.lineno, '%s.%s' % (node.module, n)) for n in names]
        elif isinstance(node, ast.Attribute):
            module = node.value.id if isinstance(node.value, ast.Name) else ''
            if node.attr in NEWER.get(module, ()) or node.attr in NEWER_METHODS:
                found.append((node.lineno, '.' + node.attr))
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and not postponed:
            if node.value.id in BUILTIN_GENERICS:
                found.append((node.lineno, node.value.id + '[...]'))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            keywords = {k.arg for k in node.keywords}
            if (node.func.id == 'zip' and 'strict' in keywords) or \
                    (node.func.id == 'dataclass' and keywords & {'slots', 'kw_only'}):
                found.append((node.lineno, node.func.id + '(%s)' % ', '.join(sorted(keywords))))
    return found


def unexplained_floats(text):
    """Float fields whose comment, or that of the field before, has neither a [unit] nor a range nor a quotient."""
    found, comment = [], ''
    for line in text.splitlines():
        match = re.match(r'\s*([\w/]+(?:\[\d*\])?)\s+(\w+)\s*(=.*?)?(?:#\s*(.*))?$', line)
        if not match or match.group(3):
            continue
        comment = match.group(4) or comment
        if match.group(1).startswith('float') and not re.search(r'\[[^\]]+\]|\d ?\.\. ?\d|\.\. \d|\w\|?/\w', comment):
            found.append(match.group(2))
    return found


def test_versions_agree():
    version = package_xml().findtext('version')
    assert re.search(r"^__version__ = '%s'$" % re.escape(version), read('intra_dp_ros/__init__.py'), re.M)
    headings = re.findall(r'^(\S+)(?: \(\d{4}-\d\d-\d\d\))?\n-+$', read('CHANGELOG.rst'), re.M)
    assert headings and headings[0] in (version, 'Forthcoming')
    released = [h for h in headings if h != 'Forthcoming']
    assert not released or released[0] <= version


def test_setup_lists_every_folder():
    folders = {'.'.join(p.parent.relative_to(ROOT).parts) for p in (ROOT / 'intra_dp_ros').rglob('__init__.py')}
    with_code = {'.'.join(p.parent.relative_to(ROOT).parts) for p in (ROOT / 'intra_dp_ros').rglob('*.py')}
    assert with_code == folders, 'a folder lacks its __init__.py'
    assert set(re.findall(r"'(intra_dp_ros[\w.]*)'", read('setup.py'))) == folders


def test_cmake_lists_every_message_and_service():
    listed = set(re.findall(r'^\s+(\w+\.(?:msg|srv))$', read('CMakeLists.txt'), re.M))
    assert listed == {p.name for folder in ('msg', 'srv') for p in (ROOT / folder).iterdir()}


def test_scripts_can_be_run():
    for path in sorted((ROOT / 'scripts').iterdir()):
        if path.is_file() and path.suffix == '':
            assert os.access(str(path), os.X_OK), '%s: chmod +x' % path
            assert path.read_text(encoding='utf-8').startswith('#!/usr/bin/env '), '%s: no shebang' % path


def test_every_python_script_is_installed():
    python = {'scripts/' + p.name for p in (ROOT / 'scripts').iterdir()
              if p.is_file() and p.read_bytes().startswith(b'#!') and b'python' in p.read_bytes().split(b'\n')[0]}
    assert set(installed_scripts()) == python
    assert installed_scripts() == sorted(installed_scripts())


def test_launch_arguments_are_documented():
    for path in sorted((ROOT / 'launch').glob('**/*.launch')):
        root = ElementTree.parse(str(path)).getroot()
        assert root.tag == 'launch', path
        for arg in root.findall('arg'):
            fixed = arg.get('value') is not None
            assert fixed or arg.get('doc'), '%s: arg %s has no doc' % (path.name, arg.get('name'))


def test_every_rostest_has_a_time_limit():
    for path in sorted((ROOT / 'test/rostest').rglob('*.test')):
        tests = list(ElementTree.parse(str(path)).getroot().iter('test'))
        assert tests, '%s: no <test>' % path
        for test in tests:
            assert test.get('time-limit'), '%s: test %s has no time-limit' % (path, test.get('test-name'))


def test_ros_imports_are_declared():
    declared = {e.text for tag in ('depend', 'exec_depend') for e in package_xml().findall(tag)}
    provided_by = {'genpy': 'rospy', 'roslib': 'rospy'}
    prefixes = ('ros', 'genpy', 'tf2_', 'cv_bridge', 'dynamic_', 'message_filters', 'diagnostic_')
    missing = set()
    for path in sorted((ROOT / 'intra_dp_ros').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                top = name.split('.')[0]
                if top.startswith(prefixes) or top.endswith('_msgs'):
                    if provided_by.get(top, top) not in declared:
                        missing.add('%s: %s' % (path.relative_to(ROOT), top))
    assert not missing, 'package.xml lacks an <exec_depend>: %s' % sorted(missing)


@pytest.mark.parametrize('path', sorted(ROOT.glob('msg/*.msg')) + sorted(ROOT.glob('srv/*.srv')), ids=lambda p: p.name)
def test_float_fields_have_units(path):
    assert unexplained_floats(path.read_text(encoding='utf-8')) == []


def test_missing_units_are_found():
    text = 'float64 a\nfloat32 b  # [s]\nfloat32 c\nfloat32 d # 0..1\nfloat32[] e # thing\n'
    assert unexplained_floats(text) == ['a', 'e']


def test_python_floor():
    files = sorted((ROOT / 'intra_dp_ros').rglob('*.py')) + sorted((ROOT / 'test').rglob('*.py'))
    found = ['%s:%d: %s' % (path.relative_to(ROOT), line, what)
             for path in files for line, what in newer_than_38(path.read_text(encoding='utf-8'))]
    assert not found, 'not in Python 3.8:\n' + '\n'.join(found)


@pytest.mark.parametrize('source', [
    'x: list[int] = []', 'from functools import cache', 'import math\nmath.lcm(2, 3)', '"ab".removeprefix("a")',
    'zip([], [], strict=True)', '@dataclass(slots=True)\nclass A: pass', 'def f(a: tuple[int, ...]): pass'])
def test_newer_python_is_found(source):
    assert newer_than_38(source)
    assert not newer_than_38('from typing import List\nx: List[int] = []\nfor a, b in zip(x, x): pass')
