"""Called by catkin only; use `scripts/setup` or `catkin_make`."""

from setuptools import setup

from catkin_pkg.python_setup import generate_distutils_setup

setup(**generate_distutils_setup(packages=[
    'intra_dp_ros',
    'intra_dp_ros.apps',
    'intra_dp_ros.apps.detection',
    'intra_dp_ros.apps.loaders',
    'intra_dp_ros.apps.networks',
    'intra_dp_ros.bench',
    'intra_dp_ros.graph',
    'intra_dp_ros.lop',
    'intra_dp_ros.lop.kernels',
    'intra_dp_ros.lop.rewrites',
    'intra_dp_ros.lop.rules',
    'intra_dp_ros.loss',
    'intra_dp_ros.loss.baselines',
    'intra_dp_ros.ros',
    'intra_dp_ros.ros.web',
    'intra_dp_ros.runtime',
    'intra_dp_ros.wire',
], package_data={'intra_dp_ros.bench': ['*.md'], 'intra_dp_ros.ros.web': ['static/*']}))
