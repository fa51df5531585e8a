"""Run tests, each time in a new process, with a fault planted.

A worker imports what takes long, starts pytest, and before pytest collects anything
forks for each job that it reads: the child goes on as pytest, the parent waits. Nothing
of JAX runs yet when it forks, and no thread. Jobs and answers are lines of JSON.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutants import reporting

OPTIONS = [
    *("-x", "-q", "--rootdir=.", "-s", "--tb=no", "--assert=plain", "-o", "addopts="),
    *("-p", "no:cacheprovider", "-m", "not nightly"),
    # A compiled program that another process is just writing is compiled anew.
    *("-W", "ignore:Error reading persistent compilation cache entry"),
]
OURS = ("jlogreg", "tests")


class _Loader(importlib.abc.Loader):
    def __init__(self, code: Any) -> None:
        self.code = code

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)


class Finder(importlib.abc.MetaPathFinder):
    """Give some modules another text than their files have."""

    def __init__(self, codes: dict[str, tuple[str, Any]]) -> None:
        self.codes = codes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.codes:
            return None
        file, code = self.codes[name]
        loader = _Loader(compile(code, file, "exec", dont_inherit=True))
        return importlib.util.spec_from_file_location(name, file, loader=loader)


class Worker:
    """Be the plugin of pytest that forks, and in the child selects and reports."""

    def __init__(self, jobs: Any, answers: Any) -> None:
        self.jobs, self.answers = jobs, answers
        self.child, self.name = False, None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int | None:
        assert threading.active_count() == 1, "a thread would not be there in a child"
        gc.collect()
        gc.freeze()
        for line in self.jobs:
            self.job = json.loads(line)
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                self.begin(config, os.fdopen(writing, "w"))
                return None
            os.close(writing)
            answer = self.watch(pid, os.fdopen(reading, "rb", buffering=0))
            print(json.dumps(answer), file=self.answers, flush=True)
        return 0

    # In the parent.

    def watch(self, pid: int, words: Any) -> dict[str, Any]:
        """Return what the child said, and how it ended."""
        said, rest, slow = [], b"", False
        patience = allowed = self.job["patience"]
        while not slow:
            ready, _, _ = select.select([words], [], [], patience)
            slow = not ready
            part = b"" if slow else os.read(words.fileno(), 65536)
            if not part:
                break
            *lines, rest = (rest + part).split(b"\n")
            said += [json.loads(line) for line in lines]
            running = said[-1].get("test") if said else None
            patience = allowed + 10 * self.job["seconds"].get(running, 0)
        words.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL) if slow else None
        _, status = os.waitpid(pid, 0)
        return {"slow": slow, "code": os.waitstatus_to_exitcode(status), "said": said}

    # In the child.

    def begin(self, config: pytest.Config, words: Any) -> None:
        os.setsid()
        self.child, self.words = True, words
        self.hits: set[tuple[str, int]] = set()
        builtins.__hit__ = lambda *place: self.hits.add(place)  # type: ignore
        self.recording = self.job.get("record", [])
        codes: dict[str, tuple[str, Any]] = {}
        for name, file in self.recording:
            codes[name] = file, reporting(name, Path(file).read_bytes())
        if "planted" in self.job:
            name, file, text = self.job["planted"]
            codes[name] = file, text
        assert not any(name in sys.modules for name in codes)
        sys.meta_path.insert(0, Finder(codes))
        config.args = self.job["files"]

    def say(self, **words: Any) -> None:
        if self.child:
            print(json.dumps(words), file=self.words, flush=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if tests := self.job.get("tests"):
            found = {item.nodeid: item for item in items}
            items[:] = [found[name] for name in tests if name in found]
        self.say(collected=len(items), hits=self.taken())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.say(test=item.nodeid)
        if self.recording:
            self.forget(item)
        self.began, self.failed, self.parts = time.perf_counter(), "", {}
        result = yield
        seconds = time.perf_counter() - self.began
        self.say(done=item.nodeid, failed=self.failed, seconds=seconds, **self.parts)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.parts[report.when] = self.taken()
        if report.failed:
            self.failed = report.when

    def taken(self) -> list[tuple[str, int]]:
        taken, self.hits = sorted(self.hits), set()
        return taken

    def forget(self, item: Any) -> None:
        """Let a test trace what others have traced: it shall be seen what it reaches.

        All that JAX has compiled is thrown away for each function of tests only, and
        not for each of its parameters: operations in eager mode are compiled, too.
        """
        ours = [m for name, m in sys.modules.items() if name.startswith(OURS)]
        for value in [value for module in ours for value in vars(module).values()]:
            if isinstance(value, type):
                continue
            for clear in ("cache_clear", "clear_cache"):
                getattr(value, clear, lambda: None)()
        name, self.name = self.name, getattr(item, "originalname", None)
        if "jax" in sys.modules and name != self.name:
            sys.modules["jax"].clear_caches()


def main(imports: list[str]) -> None:
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1) if os.environ.get("MUTATION_LOUD") else (0, 1, 2):
        os.dup2(silent, stream)
    for name in imports:
        importlib.import_module(name)
    sys.path.insert(0, str(Path.cwd()))
    worker = Worker(jobs, answers)
    os._exit(pytest.main([*OPTIONS, "tests"], plugins=[worker]))


if __name__ == "__main__":
    main(sys.argv[1:])
