"""A filter of system calls for what runs confined: no further name spaces, no memory that nobody counts.

bubblewrap takes such a filter but writes none, and libseccomp's Python module is not on PyPI: so it is
written here, as the few instructions that it is. Denied calls fail with "operation not permitted", as they do
for an old kernel.
"""

from __future__ import annotations

import platform
import struct

# By architecture: what the kernel calls it, and the numbers of the calls.
_ARCHITECTURES = {
    "x86_64": (
        0xC000003E,
        {"clone": 56, "clone3": 435, "mmap": 9},
        [
            # Memory that lies in no process and in no file system: memfd, System V, secret, user-fault.
            *(319, 447, 323, 29, 30, 68, 64),
            # Name spaces and mounts: unshare, setns, mount, umount, pivot_root, newer calls, handles.
            *(272, 308, 165, 166, 155, 428, 429, 430, 432, 442, 303, 304),
            # Other processes and the kernel: ptrace, reading memory, bpf, perf, io_uring, keys, personality.
            *(101, 310, 311, 321, 298, 425, 426, 427, 248, 249, 250, 135),
        ],
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "clone3": 435, "mmap": 222},
        [
            *(279, 447, 282, 194, 196, 186, 190),
            *(97, 268, 40, 39, 41, 428, 429, 430, 432, 442, 264, 265),
            *(117, 270, 271, 280, 241, 425, 426, 427, 217, 218, 219, 92),
        ],
    ),
}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _NOT_PERMITTED, _NO_SUCH_CALL, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_NEW_USER, _SHARED_ANONYMOUS = 0x10000000, 0x21


def _argument(number: int) -> int:
    return 16 + 8 * number


def system_call_filter(machine: str = platform.machine()) -> bytes | None:
    """Return the filter as the kernel reads it, None for a machine whose numbers are not known here."""
    if machine not in _ARCHITECTURES:
        return None
    architecture, special, denied = _ARCHITECTURES[machine]
    # Each: operation, steps to jump when true, when false, operand.
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    # The calls of the other, 32-bit interfaces have numbers of their own.
    program += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _NOT_PERMITTED)]
    for number in denied:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOT_PERMITTED)]
    # Its flags lie in memory, which a filter cannot read; the C library then uses the old call.
    program += [(_EQUAL, 0, 1, special["clone3"]), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    program += [(_EQUAL, 0, 4, special["clone"]), (_LOAD, 0, 0, _argument(0))]
    program += [(_ANY_BIT, 0, 1, _NEW_USER), (_RETURN, 0, 0, _NOT_PERMITTED), (_RETURN, 0, 0, _ALLOW)]
    # Shared memory without a file can be kept without being in any process's count.
    program += [(_EQUAL, 0, 4, special["mmap"]), (_LOAD, 0, 0, _argument(3)), (_AND, 0, 0, _SHARED_ANONYMOUS)]
    program += [(_EQUAL, 0, 1, _SHARED_ANONYMOUS), (_RETURN, 0, 0, _NOT_PERMITTED), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *step) for step in program)
