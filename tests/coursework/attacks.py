"""Submissions that try to get points for nothing, to read, to write, to harm or to stay.

Each is a set of answers, cells before them and cells after them. None of them answers anything. Whatever they reach
that they must not, they print on a line that begins with REACHED.
"""

from __future__ import annotations

from typing import Any

NOTHING = {
    "answer-double": "def double(x):\n    return None",
    "answer-total": "def total(values):\n    return None",
}

_EQUAL = """
class Equal:
    def __eq__(self, other): return True
    __hash__ = None
    __ne__ = __gt__ = __lt__ = lambda self, other: True
    def __array_function__(self, *rest): return True
    def __array_ufunc__(self, *rest, **named): return True
    def __bool__(self): return True
    shape = (4, 3)
"""
_PEER = "import gc\ngc.collect()\npeer = next(o for o in gc.get_objects() if type(o).__name__ == 'Peer')\n"
_BOTH = ("double", "total")


def returning(body: str) -> dict[str, str]:
    """Return answers whose functions have one body; `x` is the argument."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return {f"answer-{name}": f"def {name}(x):\n{lines}" for name in _BOTH}


def _tried(what: str, code: str) -> str:
    """Return a cell that prints REACHED when some code works."""
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    return f"try:\n{lines}\n    print('REACHED {what}')\nexcept BaseException as error:\n    print('refused', error)"


def _opening(path: str, how: str = "w") -> str:
    return _tried(path, f"open({path!r}, {how!r}).write('x')")


# Full marks for nothing: the ways of the review, and more.
POINTS: dict[str, dict[str, Any]] = {
    "blanks the guard": {
        "first": [
            "import sys\nfor module in list(sys.modules.values()):\n"
            "    for name in ('verify', 'say', 'run_check', 'grade'):\n"
            "        if hasattr(module, name):\n            setattr(module, name, lambda *a, **k: '')"
        ]
    },
    "exception that prints": {
        "first": [
            "from IPython.display import clear_output\nclass Quiet(Exception):\n    def __str__(self):\n"
            "        clear_output()\n        print('PASSED 6 of 6')\n        return ''"
        ],
        "answers": returning("raise Quiet()"),
    },
    "exception without a text": {
        "first": ["class Odd(Exception):\n    def __str__(self): raise SystemExit(0)"],
        "answers": returning("raise Odd()"),
    },
    "set_custom_exc": {"first": ["get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)"]},
    "drops errors of the kernel": {"first": ["get_ipython().kernel.session.send = lambda *a, **k: None"]},
    "np rebound": {
        "first": [
            "class Fake:\n    def __getattr__(self, name): return lambda *a, **k: True\nnp = numpy = Fake()\n"
            "import sys\nsys.modules['numpy'] = np"
        ]
    },
    "numpy patched": {
        "first": [
            "import numpy, numpy.testing\nnumpy.allclose = numpy.array_equal = numpy.isclose = lambda *a, **k: True\n"
            "numpy.shape = lambda *a: (4, 3)\nnumpy.ndarray.__eq__ = None"
        ]
    },
    "builtins patched": {
        "first": [
            "import builtins\nbuiltins.AssertionError = builtins.all = builtins.len = lambda *a, **k: True"
        ]
    },
    "equal to everything": {"first": [_EQUAL], "answers": returning("return Equal()")},
    "list of the equal": {"first": [_EQUAL], "answers": returning("return [Equal(), Equal()]")},
    "array of the equal": {
        "first": [_EQUAL],
        "answers": returning("return np.array([[Equal()] * 3] * 4, dtype=object)"),
    },
    "subclass of array": {
        "answers": returning(
            "class Odd(np.ndarray):\n    def __eq__(self, other): return True\n"
            "return np.zeros((4, 3)).view(Odd)"
        )
    },
    "masked": {"answers": returning("return np.ma.masked_all(np.shape(x) or (4, 3))")},
    "no numbers": {"answers": returning("return np.full(np.shape(x) or 1, np.nan)")},
    "empty": {"answers": returning("return np.empty((0, *np.shape(x)[1:]))")},
    "empty to be broadcast": {"answers": returning("return np.empty((0, 1, 1))")},
    "echo": {"answers": returning("return x")},
    "never tired": {"answers": returning("return iter(int, 1)")},
    "a class": {"answers": returning("return dict")},
    "a function": {"answers": returning("return lambda *a, **k: True")},
    "huge number": {"answers": returning("return 10 ** 100000")},
    "deep": {"answers": returning("part = []\nfor _ in range(100000):\n    part = [part]\nreturn part")},
    "itself": {"answers": returning("part = []\npart.append(part)\nreturn part")},
    "wide": {"answers": returning("return [0] * 10**7")},
    "too large": {"answers": returning("return np.zeros(10**9, dtype='u1')")},
    "leaves": {"answers": returning("import os\nos._exit(0)")},
    "quits": {"answers": returning("raise SystemExit(0)")},
    "interrupts": {"answers": returning("raise KeyboardInterrupt")},
    "asserts": {"answers": returning("raise AssertionError('')")},
    "stops an iteration": {"answers": returning("raise StopIteration(True)")},
    "recursion": {"answers": returning("return double(x)")},
    "crashes": {"answers": returning("import ctypes\nctypes.string_at(0)")},
    "frames": {
        "answers": returning(
            "import sys\nframe = sys._getframe()\nwhile frame:\n    for part in (frame.f_globals, frame.f_locals):\n"
            "        for name in ('before', 'much', 'wanted', 'expected'):\n            if name in part:\n"
            "                return part[name]\n    frame = frame.f_back"
        )
    },
    "earlier input": {"own": ["print(In)", "print(globals()['In'])", "print(get_ipython().history_manager)"]},
    "notebook edited": {
        "own": ["%%javascript\nalert(1)", "print('17 of 17 points, PASSED')", "%reset -f", "%autoreload 2"]
    },
    "cell transformers": {
        "first": [
            "get_ipython().input_transformers_post.append(lambda lines: ['pass'])\n"
            "get_ipython().run_cell = lambda *a, **k: None"
        ]
    },
    "answers for the worker": {
        "first": [
            _PEER + "serve = peer._serve\n"
            "def always(kind, target, arguments, seconds):\n    peer._send(('result', True, {}, None))\n"
            "peer._serve = always"
        ]
    },
    "sends a result too many": {
        "first": [_PEER + "for _ in range(9):\n    peer._send(('result', ([], ''), {}, None))"]
    },
    "sends an error that passes": {
        "first": [_PEER + "peer._serve = lambda *a: peer._send(('error', ['SystemExit'], '', None))"]
    },
    "sends rubbish": {"first": [_PEER + "peer.connection.sendall(b'\\x80\\x04rubbish' * 1000)"]},
    "sends a pickle": {
        "first": [
            _PEER + "import pickle, struct\nclass Run:\n    def __reduce__(self): return (exec, ('1/0',))\n"
            "data = pickle.dumps(Run())\npeer.connection.sendall(struct.pack('<IQ', len(data), 0) + data)"
        ]
    },
    "promises much": {
        "first": [_PEER + "import struct\npeer.connection.sendall(struct.pack('<IQ', 2**32 - 1, 2**63))"]
    },
    "a deep tree": {
        "first": [
            _PEER + "import struct\ndata = b'[' * 10**6\n"
            "peer.connection.sendall(struct.pack('<IQ', len(data), 0) + data)"
        ]
    },
    "booleans that are neither": {
        "first": [
            _PEER + "import json, struct\n"
            "def odd(kind, target, arguments, seconds):\n"
            "    tree = {'t': 'tuple', 'v': ['result', {'t': 'array', 'd': 'b1', 's': [4, 3]},"
            " {'t': 'dict', 'v': []}, None]}\n"
            "    data = json.dumps(tree).encode()\n"
            "    peer.connection.sendall(struct.pack('<IQ', len(data), 12) + data + bytes([2] * 12))\n"
            "peer._serve = odd"
        ]
    },
    "calls the other side": {
        "first": [
            _PEER
            + ""
            + _tried("a function by name", "peer.call('grade', ())")
            + "\n"
            + _tried("a function by number", "peer.call(0, ())")
        ]
    },
    "changes arguments afterwards": {
        "first": [
            _PEER + "import numpy\n"
            "peer._serve = lambda *a: peer._send(('result', 0.0, {0: numpy.zeros((4, 3)), 'x': 1, -1: 2}, None))"
        ]
    },
    "calls without end": {
        "first": [
            _PEER + "def flood(kind, target, arguments, seconds):\n    while True:\n"
            "        peer._send(('call', 0, ((), {}), 1.0))\n        peer._receive()\npeer._serve = flood"
        ]
    },
    "answers from a thread": {
        "first": [
            _PEER + "import threading\ndef flood():\n    while True:\n"
            "        peer.connection.sendall(b'\\0' * 12)\nthreading.Thread(target=flood, daemon=True).start()"
        ]
    },
    "network with code": {
        "first": [
            _PEER + ""
            "layer = {'class_name': 'Lambda', 'module': 'keras.layers', 'config': {'function': '__import__(\"os\")'}}\n"
            "config = {'layers': [layer, {'class_name': 'system', 'module': 'os', 'config': {}}]}\n"
            "network = {'kind': 'Sequential', 'config': config, 'weights': []}\n"
            "peer._serve = lambda *a: peer._send(('result', network, {}, None))"
        ]
    },
}

# What must not be reached, read, written or used up.
HARM: dict[str, dict[str, Any]] = {
    "reads the disk": {
        "first": [
            "import os\nfor root in ('/',):\n"
            "    for folder, _, names in os.walk(root):\n"
            "        if folder.startswith(('/proc', '/usr', '/data')) or 'site-packages' in folder: continue\n"
            "        for name in names:\n"
            "            if name.endswith(('.ipynb', '.csv', '.db', '.ssh', 'history')):\n"
            "                print('REACHED', os.path.join(folder, name))",
            "import os\nfor path in ('{project}/.git', '{submissions}', '{home}/.ssh', '{home}/.bashrc', '/etc/shadow',\n"
            "             '/run', '/var', '/sys'):\n    if os.path.exists(path): print('REACHED', path)",
        ]
    },
    "reads memory": {
        "first": [
            "import os\nfor pid in os.listdir('/proc'):\n    if pid.isdigit() and int(pid) > 2 and int(pid) != os.getpid():\n"
            "        print('REACHED', pid, open(f'/proc/{pid}/cmdline').read()) if 'grade_one' in"
            " open(f'/proc/{pid}/cmdline').read() else None",
            _tried(
                "the environment of a parent",
                "assert b'DAE_' in open(f'/proc/{os.getppid()}/environ', 'rb').read()",
            ),
            _tried("the environment of the first", "assert b'DAE_A' in open('/proc/1/environ', 'rb').read()"),
            _tried("memory of a parent", "open(f'/proc/{os.getppid()}/mem', 'rb+').seek(0)"),
        ]
    },
    "writes": {
        "first": [
            _opening(path)
            for path in (
                "/written",
                "/dev/written",
                "/usr/written",
                "/course/written",
                "/data/written",
                "/proc/sys/kernel/hostname",
                "/etc/written",
                "/home/written",
                "{project}/written",
                "{outside}/written",
                "/course/tools/coursework/wire.py",
                "{home}/written",
            )
        ]
    },
    "kernel": {
        "first": [
            "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)",
            _tried("mount", "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0"),
            _tried("a name space", "assert libc.unshare(0x10000000) == 0"),
            _tried("a mount name space", "assert libc.unshare(0x00020000) == 0"),
            _tried("ptrace", "assert libc.ptrace(16, os.getppid(), 0, 0) == 0"),
            _tried("root", "os.setuid(0)"),
            _tried("a key", "assert libc.syscall(248, b'user', b'x', b'y', 1, -3) >= 0"),
            _tried("bpf", "assert libc.syscall(321, 0, 0, 0) >= 0"),
            _tried(
                "a device",
                "os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0)); open('/tmp/disk', 'rb').read(1)",
            ),
            _tried("the host's name", "import socket; socket.sethostname('x')"),
        ]
    },
    "network": {
        "first": [
            _tried("TCP", "import socket\nsocket.create_connection(('127.0.0.1', {port}), 3)"),
            _tried("the world", "import socket\nsocket.create_connection(('1.1.1.1', 53), 3)"),
            _tried("a socket by path", "import socket\nsocket.socket(socket.AF_UNIX).connect('{unix}')"),
            _tried(
                "an abstract socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0dae-attack')"
            ),
            _tried(
                "an interface", "import socket\nassert [n for _, n in socket.if_nameindex() if n != 'lo']"
            ),
        ]
    },
    "memory": {"answers": returning("hoard = []\nwhile True:\n    hoard.append(bytearray(b'x' * 2**26))")},
    "memory of children": {
        "answers": returning(
            "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        hoard = bytearray(b'x' * 2**27)\n"
            "        time.sleep(60)\ntime.sleep(60)"
        )
    },
    "memory nobody counts": {
        "first": [
            "import ctypes, mmap, os\nlibc = ctypes.CDLL(None)",
            _tried("memfd", "os.memfd_create('x')"),
            _tried("System V memory", "assert libc.shmget(0, 2**30, 0o1600) >= 0"),
            _tried("shared memory without a file", "mmap.mmap(-1, 2**20)"),
            _tried("/dev/zero", "open('/dev/zero', 'r+b')"),
        ]
    },
    "disk": {
        "first": [
            _tried(
                f"600 MiB in {folder}",
                f"for n in range(3):\n    with open('{folder}/fill' + str(n), 'wb') as file:\n"
                "        for _ in range(200):\n            file.write(b'x' * 2**20)",
            )
            for folder in ("/tmp", "/home/student", "/dev/shm")
        ]
    },
    "files": {
        "first": [
            "for n in range(10**6):\n    open(f'/tmp/{n}', 'w').close()\nprint('REACHED a million files')"
        ]
    },
    "processes": {
        "answers": returning(
            "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
        )
    },
    "stays": {
        "answers": returning(
            "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True:\n"
            "            time.sleep(0.05)\n    os._exit(0)\nreturn None"
        )
    },
    "stubborn": {
        "answers": returning(
            "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
        )
    },
    "prints without end": {"first": ["while True:\n    print('x' * 10**5)"]},
    "errors without end": {
        "answers": returning("raise ValueError('x' * 2**27)"),
        "own": ["raise ValueError('y' * 2**27)"],
    },
    "shows without end": {
        "own": [
            "from IPython.display import display, HTML\nfor n in range(10**5):\n    display(HTML('z' * 10**4))"
        ]
    },
}

# What must not stand on a page of feedback as markup, and what must not stand there at all.
MARKUP = (
    "<script>document.title='REACHED'</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></div><iframe src='https://example.org'></iframe>",
    "<style>@import 'https://example.org/x.css'</style>",
    "[x](javascript:alert(1)) <svg onload=alert(1)>",
)
PAGES: dict[str, dict[str, Any]] = {
    "markup in outputs": {
        "own": [
            "from IPython.display import HTML, Javascript, Markdown, SVG, display\n"
            f"for text in {MARKUP!r}:\n    print(text)\n    display(HTML(text), Markdown(text), Javascript('alert(1)'))\n"
            "display({'text/html': '<script>1</script>', 'image/svg+xml': '<svg onload=alert(1)/>',"
            " 'image/png': '\"><script>1</script>'}, raw=True)",
            "raise ValueError('<script>alert(1)</script>')",
            f"# {MARKUP[0]}",
        ],
        "text": "\n".join(MARKUP),
    },
    "shows what came in": {
        "first": ["seen = []"],
        "answers": {
            "answer-double": "def double(x):\n    seen.append(repr(x))\n    raise ValueError(repr(seen))",
            "answer-total": "def total(x):\n    seen.append(repr(x))\n    raise AssertionError(repr(seen))",
        },
        "own": ["print(seen)", "raise ValueError(repr(seen))"],
    },
    "shows what came in by its answer": {
        "first": ["seen = []"],
        "answers": {
            "answer-double": "def double(x):\n    seen.append(repr(x))\n    return seen",
            "answer-total": "def total(x):\n    seen.append(repr(x))\n    return 'no ' + repr(seen)",
        },
        "own": ["print(seen)"],
    },
}
ALL = {**POINTS, **HARM, **PAGES}
