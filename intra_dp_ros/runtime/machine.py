"""How this process uses the machine: threads, and memory between frames."""
import ctypes
import sys

import torch

# Parameters of glibc's mallopt (malloc.h).
_M_MXFAST, _M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = 1, -1, -2, -4, -8
_NEVER = 2 ** 31 - 1
_TOP_PAD_BYTES = 64 << 20
_SWITCH_S = 0.0005
_OPENBLAS = "libopenblas.so.0"
#: What nodes that compute are started with.  glibc before 2.38 cuts aligned memory, as PyTorch asks for, out of a
#: larger piece and keeps the clippings in its thread caches, where they become long-lived small objects: the hole is
#: then too small for the same tensor in the next frame, and the heap grows to several times of what is in use.  One
#: heap for all threads: those of other threads hold nothing above 64 MB, and give everything back.
HEAP_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1"}


def use_threads(count: int) -> None:
    """Compute with `count` threads; 0: as many as PyTorch thinks best.

    PyTorch's own setting does not reach OpenBLAS, whose waiting threads then take the processor from everybody else.
    """
    if count <= 0:
        return
    torch.set_num_threads(count)
    try:
        ctypes.CDLL(_OPENBLAS, mode=getattr(ctypes, "RTLD_GLOBAL", 0)).openblas_set_num_threads(count)
    except (OSError, AttributeError):
        pass  # PyTorch was built with another BLAS, which follows it


def switch_threads_fast() -> None:
    """Let the compute thread have the interpreter back soon after every operator.

    Threads that receive tiles would otherwise keep it for Python's 5 ms, which is longer than most operators take.
    """
    sys.setswitchinterval(_SWITCH_S)


def keep_freed_memory() -> None:
    """Keep memory that is freed for the next frame instead of giving it back to the kernel; called before other threads
    are started.

    Every frame frees and asks for the same large tensors, and fetching their pages anew takes a good part of its time
    (`scripts/bench_executor --give-back` shows it).  The process stays as large as its largest frame, where it was
    started with `HEAP_ENVIRONMENT`; else it grows for long: what is freed lies scattered.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # another C library: nothing is lost but time
    for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER),
                             (_M_TOP_PAD, _TOP_PAD_BYTES), (_M_MXFAST, 0)):
        mallopt(parameter, value)


def give_back() -> None:
    """Give memory that is free now back to the kernel, once: what took more than frames will is over.

    Takes some tens of milliseconds, during which no thread gets memory.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass  # another C library
