"""The end of a program that has rospy's threads: they do not end by themselves without a signal."""
import os
import signal
import sys
import traceback
from typing import Callable, Tuple, Type


def run_to_the_end(name: str, run: Callable[[], int], known: Tuple[Type[BaseException], ...]) -> None:
    """Run a program and leave this process with its exit code; does not return.

    SIGTERM and a closed terminal end it as an exception does, so that what it has started is stopped.

    Args:
        known: errors whose message says what to do; others are printed whole.
    """
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: sys.exit(143))
    try:
        code = run()
    except known as error:
        print("{}: {}".format(name, error), file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:  # also of --help
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
