"""Nothing depends on POSIX alone: each place that could has a fallback, and is listed here.

The search reads the source and knows names, not types. A new place fails the test until someone has
thought about Windows and macOS, and has written the fallback into the table.
"""

import ast
import io
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import semiseg
from semiseg.checks import machine
from semiseg.cli import main
from semiseg.core import shell
from semiseg.core.errors import ConfigError
from semiseg.core.files import atomic_write, sync_folder
from semiseg.core.memory import physical_memory
from semiseg.training import checkpoint, feature_store
from semiseg.training.checkpoint import ignore_signals
from semiseg.training.failures import check_main_module
from semiseg.training.loggers import MetricsTable

SOURCE = Path(semiseg.__file__).parent
FALLBACKS = {
    "checks/machine.py /proc/cpuinfo": "without the file, the name that Python knows",
    "checks/machine.py /proc/driver/nvidia/version": "or `nvidia-smi` is on the PATH",
    "checks/machine.py /sys/fs/cgroup/memory.max": "without the file, there is no such limit",
    "checks/machine.py os.access": "exists everywhere; a wrong answer only costs a warning",
    "checks/machine.py os.sched_getaffinity": "else all cores",
    "cli.py os.dup2": "exists everywhere",
    "core/memory.py os.sysconf": "None: whoever asks does without",
    "core/shell.py shlex.quote": "double quotes on Windows",
    "correction/accepted.py rename": "the new name is unused",
    "correction/serve.py socket.SO_EXCLUSIVEADDRUSE": "on Windows only",
    "correction/serve.py socket.SO_REUSEADDR": "not on Windows, where two programs could share it",
    "correction/train_on.py os.kill": "on Windows only to end a process, which it does at once",
    "correction/train_on.py subprocess.Popen": "a new group of processes on Windows",
    "data/drawn.py rename": "an existing folder is that of another process, and is used",
    "data/pools/shard_cache.py os.utime": "without it, the shard is read again",
    "inference/ray_engine.py os.sched_getaffinity": "else all cores",
    "training/checkpoint.py signal.pthread_sigmask": "only with sigwaitinfo",
    "training/checkpoint.py signal.sigwaitinfo": "else a SIGTERM to all ends the loaders first",
    "training/devices.py ctypes.CDLL": "only with glibc",
    "training/failures.py os.getppid": "on Windows it never changes: the connection's end ends it",
    "training/feature_store.py fcntl": "not on Windows, which refuses to remove an open file",
    "training/feature_store.py os.utime": "without it, the file looks old; errors are ignored",
    "training/pace_memory.py os.sched_getaffinity": "else the number of cores",
    "training/place.py ctypes.CDLL": "the name of the library is that of the system",
    "training/run_folder.py rename": "the old folder has another name by then",
}
"""Each place, and what happens where the system lacks it."""

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios"}
"""The modules that Windows lacks."""
NAMES = {
    "os": {
        *("access", "chmod", "chown", "dup2", "fork", "forkpty", "getegid", "geteuid", "getgid"),
        *(
            "getloadavg",
            "getpgid",
            "getppid",
            "getuid",
            "kill",
            "killpg",
            "lchown",
            "link",
            "mkfifo",
        ),
        *("nice", "openpty", "posix_fadvise", "rename", "sched_getaffinity", "sched_setaffinity"),
        *("setpgid", "setsid", "statvfs", "symlink", "sync", "sysconf", "umask", "uname", "utime"),
        *("wait", "waitpid", "WNOHANG", "O_DIRECTORY", "O_NOFOLLOW"),
    },
    "signal": {
        *("alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt"),
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGSTOP"),
        *("sigpending", "sigtimedwait", "sigwait", "sigwaitinfo"),
    },
    "socket": {"AF_UNIX", "SO_EXCLUSIVEADDRUSE", "SO_REUSEADDR", "SO_REUSEPORT", "socketpair"},
    "ctypes": {"CDLL", "windll"},
    "shlex": {"join", "quote", "split"},
    "subprocess": {"run", "Popen", "check_output", "call"},
    "multiprocessing": {"get_context", "set_start_method"},
}
"""What Windows or macOS lack, or where they behave in another way."""
METHODS = {"chmod", "hardlink_to", "lchmod", "owner", "rename", "symlink_to"}
"""Methods of paths; `rename` fails on Windows where the new name exists, unlike `replace`."""
FOLDERS = ("/proc/", "/dev/", "/sys/", "/tmp", "/etc/", "/usr/", "/var/")


@cache
def nodes_of(file):
    """All nodes of a module."""
    return list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def places_in(file):
    """What in a module depends on the system."""
    words = {word for names in NAMES.values() for word in names}
    for node in nodes_of(file):
        match node:
            case ast.Import():
                yield from (a.name for a in node.names if a.name in MODULES)
            case ast.ImportFrom(module=module):
                yield from [module] if module in MODULES else []
                names = NAMES.get(module, ())
                yield from (f"{module}.{a.name}" for a in node.names if a.name in names)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in NAMES.get(
                module, ()
            ):
                yield f"{module}.{name}"
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"),
                args=[ast.Name(id=module), ast.Constant(value=name), *_],
            ) if name in words:
                yield f"{module}.{name}"
            case ast.Call(func=ast.Attribute(attr=name), args=[_]) if name in METHODS:
                yield name
            case ast.Constant(value=str(text)) if text.startswith(FOLDERS) and "\n" not in text:
                yield text


def test_each_place_that_depends_on_the_system_is_listed_with_its_fallback():
    found = {
        f"{file.relative_to(SOURCE).as_posix()} {place}"
        for file in SOURCE.rglob("*.py")
        for place in places_in(file)
    }
    assert found == FALLBACKS.keys()


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.py").write_text(
        "import fcntl\nfrom os import kill\nimport os, signal\nos.fork()\npath.rename(other)\n"
        "getattr(os, 'getuid')()\nsignal.SIGKILL\nopen('/proc/self/stat')\nd.replace(1, 2)\n",
        encoding="utf-8",
    )
    assert sorted(places_in(tmp_path / "a.py")) == [
        *("/proc/self/stat", "fcntl", "os.fork", "os.getuid", "os.kill", "rename"),
        "signal.SIGKILL",
    ]


def test_every_text_file_has_an_encoding():
    """Without one, Windows takes an encoding of 256 letters."""
    for file in SOURCE.rglob("*.py"):
        for node in nodes_of(file):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            verb, owner = node.func.attr, getattr(node.func.value, "id", "")
            mode = "".join(str(getattr(a, "value", "")) for a in node.args)
            is_text = verb == "open" and re.fullmatch("[rwax+t]+", mode)
            is_text = is_text or (verb in ("read_text", "write_text") and owner != "files")
            has_encoding = "utf-8" in mode or any(k.arg == "encoding" for k in node.keywords)
            # rasterio's `open` takes a mode, too, and writes no text
            assert has_encoding or not is_text or owner == "rasterio", f"{file}:{node.lineno}"


def test_without_the_calls_of_posix_a_machine_is_described(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert physical_memory() is None
    devices, _ = machine.find_devices()
    assert "cores" in devices[0].detail
    assert devices[0].memory is None


def test_without_sigwaitinfo_a_loader_process_ignores_ctrl_c(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delattr(signal, "sigwaitinfo", raising=False)
    monkeypatch.setattr(checkpoint, "_obey_parent", None)  # must not run
    try:
        ignore_signals(0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_features_are_cached_without_locks_of_files(monkeypatch, tmp_path):
    monkeypatch.setattr(feature_store.sys, "platform", "win32")
    monkeypatch.delattr(feature_store, "fcntl", raising=False)
    lock = feature_store._Lock(tmp_path)
    lock.share()
    assert lock.seize()
    lock.close()


def test_a_file_of_a_cache_that_another_process_has_open_stays(monkeypatch, tmp_path):
    """Windows refuses to replace such a file."""

    def refuse(self, target):
        raise PermissionError(13, "in use", str(target))

    (tmp_path / "a").write_bytes(b"the same")
    monkeypatch.setattr(Path, "replace", refuse)
    with atomic_write(tmp_path / "a", shared=True) as file:
        file.write(b"the same")
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
    with pytest.raises(PermissionError), atomic_write(tmp_path / "a") as file:
        file.write(b"another")
    with pytest.raises(PermissionError), atomic_write(tmp_path / "b", shared=True) as file:
        file.write(b"new")
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_opened_is_not_synced(monkeypatch, tmp_path):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    sync_folder(tmp_path)


def test_files_are_renamed_over_older_ones(monkeypatch, tmp_path):
    """`rename` does that on POSIX only."""

    def refuse(self, target):
        raise FileExistsError(str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    table = MetricsTable(tmp_path / "metrics.csv", [])
    for step, name in enumerate("ab"):
        table.log_metrics({name: 1.0}, step)
        table.save()
    assert table.file.read_text(encoding="utf-8").splitlines()[0] == "a,b,step"


def test_commands_are_quoted_for_the_shell_of_the_system(monkeypatch):
    words = ["semiseg", "check", r"C:\my data", r"D:\plain", 'a"b']
    monkeypatch.setattr(shell, "IS_WINDOWS", True)
    assert shell.join(words) == r'semiseg check "C:\my data" D:\plain "a\"b"'
    monkeypatch.setattr(shell, "IS_WINDOWS", False)
    assert shell.join(words[:2]) == "semiseg check"


def test_names_that_the_output_cannot_hold_are_escaped(monkeypatch):
    """A console of Windows has UTF-8, but its files and pipes have 256 letters."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    main(["--version"])
    print("class \u6728")
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"class \\u6728" + os.linesep.encode())


def test_a_loader_process_that_imports_the_script_trains_nothing(monkeypatch, tiny_folder):
    check_main_module()
    monkeypatch.setattr("multiprocessing.current_process", lambda: Inheriting)
    with pytest.raises(ConfigError, match="__main__"):
        semiseg.train(tiny_folder, method="supervised")


class Inheriting:
    """A process that imports the script of the user."""

    name = "SpawnProcess-1"
    _inheriting = True


@pytest.mark.faults
def test_loader_processes_that_start_anew_give_the_same_run(tiny_folder, tmp_path):
    """As on Windows and macOS: nothing that a loader gets is lost on the way."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\nimport semiseg\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method(sys.argv[1], force=True)\n"
        "    semiseg.train(sys.argv[2], out=sys.argv[1], weights='none', size=48, crop=32,\n"
        "        batch=2, steps=2, validations=1, workers=1, accelerator='cpu', method='css')\n",
        encoding="utf-8",
    )
    source = os.pathsep.join([str(SOURCE.parent), os.environ.get("PYTHONPATH", "")])
    for start in ("spawn", "fork"):
        process = subprocess.run(
            [sys.executable, script.name, start, str(tiny_folder)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": source},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
    spawned, forked = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("spawn", "fork"))
    assert spawned == forked
