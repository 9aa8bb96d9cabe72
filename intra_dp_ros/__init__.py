"""Exact split DNN inference between a robot and a server."""

from pkgutil import extend_path

# The generated messages live in another folder (devel space); with this, `intra_dp_ros.msg` is found from here too.
__path__ = extend_path(__path__, __name__)
__version__ = '0.1.0'
__all__ = ['IntraDP']


def __getattr__(name):
    """`IntraDP` on first use: importing the package alone must not load PyTorch."""
    if name == 'IntraDP':
        from intra_dp_ros.runtime.client import IntraDP
        return IntraDP
    raise AttributeError('module {!r} has no attribute {!r}'.format(__name__, name))
