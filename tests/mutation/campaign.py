"""Hand mutants to workers, and judge what comes back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutation.mutants import Mutant, mutants

ROOT = Path(__file__).parent.parent.parent
# So many tests, the likeliest to notice, are run first, and the others only if need be:
# each process must import the files of its tests.
FIRST = 5
# Programs that JAX compiles are kept while the unplanted tests run, and not thereafter.
KEEP = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


class Verdict(NamedTuple):
    """Hold what came of a mutant: killed, survived or timeout, and by which test."""

    mutant: Mutant
    name: str
    test: str
    seconds: float


class Campaign:
    """Hold a project, the modules to mutate and the files of tests that each has.

    package is the folder of modules; imports are what workers import before they fork:
    nothing of the package, and nothing that starts a thread.
    """

    def __init__(
        self,
        root: Path,
        package: str,
        files: dict[str, list[str]],
        imports: Iterable[str] = (),
        environment: dict[str, str] | None = None,
        say: Callable[[str], None] = lambda text: None,
        patience: float = 20,
    ) -> None:
        self.root, self.package, self.files = root, package, files
        self.imports, self.environment, self.say = [*imports], environment or {}, say
        # Seconds without a word that a test may take beyond ten times its own.
        self.patience = patience
        self.reach: dict[str, dict[str, Any]] = {}

    def path(self, module: str) -> Path:
        return self.root / self.package / (module.replace(".", "/") + ".py")

    def source(self, module: str) -> bytes:
        return self.path(module).read_bytes()

    def name(self, module: str) -> str:
        return f"{self.package}.{module}"

    # Workers.

    def work(
        self,
        queue: list[Any],
        workers: int,
        do: Callable[..., None],
        **environment: str,
    ) -> None:
        """Let workers take what is queued, the first one first."""
        errors: list[BaseException] = []

        def one() -> None:
            worker = self.started(environment)
            try:
                while queue and not errors:
                    do(worker, queue.pop(0))
            except BaseException as error:
                errors.append(error)
            finally:
                worker.stdin.close()
                worker.wait()
                worker.stdout.close()

        threads = [threading.Thread(target=one) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def started(self, environment: dict[str, str]) -> Any:
        command = [sys.executable, "-m", "tests.mutation.worker", *self.imports]
        paths = [str(self.root), str(ROOT)]
        environment = {**os.environ, **self.environment, **environment}
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        # No order and no options but ours.
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.root, env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def ask(self, worker: Any, **job: Any) -> dict[str, Any]:
        print(json.dumps(job), file=worker.stdin, flush=True)
        line = worker.stdout.readline()
        if not line:
            raise RuntimeError("a worker died: set MUTATION_LOUD=1 to see why")
        return json.loads(line)

    # Which tests reach which statements.

    def record(self, workers: int, kept: Path, chosen: Iterable[str]) -> None:
        """Find what each test executes, unless it is known from an earlier run."""
        named = {file for module in chosen for file in self.files[module]}
        known = json.loads(kept.read_text()) if kept.exists() else {}
        keys = {file: self.key(file) for file in sorted(named)}
        queue = [file for file in keys if known.get(file, {}).get("key") != keys[file]]
        modules = [(self.name(m), str(self.path(m))) for m in self.files]

        def one(worker: Any, file: str) -> None:
            began = time.perf_counter()
            answer = self.ask(
                worker, files=[file], record=modules, patience=300, seconds={}
            )
            if answer["code"] != 0:
                failed = [word for word in answer["said"] if word.get("failed")]
                raise RuntimeError(
                    f"{file} fails without any mutant: {failed or answer}"
                )
            known[file] = {"key": keys[file], "tests": _reached(answer["said"])}
            kept.write_text(json.dumps(known))
            self.say(f"recorded {file}, {time.perf_counter() - began:.0f} s")

        kept.parent.mkdir(parents=True, exist_ok=True)
        self.work(queue, min(workers, len(queue)), one, **KEEP)
        self.reach = {file: known[file]["tests"] for file in keys}

    def key(self, file: str) -> str:
        """Return a fingerprint of all that a file of tests may depend on."""
        package = [*(self.root / self.package).rglob("*.py")]
        helpers = [
            path
            for path in (self.root / "tests").rglob("*.py")
            if not path.name.startswith("test_") and path.parent.name != "mutation"
        ]
        paths = [self.root / file, *sorted(package), *sorted(helpers)]
        parts = [" ".join(self.files).encode(), *(path.read_bytes() for path in paths)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def tests_of(self, mutant: Mutant, module: str) -> dict[str, tuple[str, float]]:
        """Return the tests that reach a mutant, with file and seconds, quickest first.

        Where no statement says so, what is mutated acts on import, and all tests of the
        module are its tests.
        """
        lines, name, chosen = set(mutant.lines), self.name(module), {}
        for file in self.files[module]:
            for test, (seconds, hits) in self.reach[file].items():
                reached = set(hits.get(name, ()))
                if reached & lines or (reached and not lines):
                    chosen[test] = file, seconds
        return dict(sorted(chosen.items(), key=lambda pair: (pair[1][1], pair[0])))

    # Verdicts.

    def run(self, workers: int, chosen: Iterable[str]) -> list[Verdict]:
        """Return the verdict on each mutant, in the order of the modules."""
        verdicts: dict[tuple[str, int, int, str], Verdict] = {}
        queue, order = [], []
        for module in chosen:
            groups: dict[str, list[Mutant]] = {}
            for mutant in mutants(module, self.source(module)):
                groups.setdefault(mutant.function.partition(".")[0], []).append(mutant)
                order.append(mutant)
            queue += [(module, group) for group in groups.values()]
        queue.sort(key=lambda item: -len(item[1]))
        counts: Counter[str] = Counter()

        def one(worker: Any, item: tuple[str, list[Mutant]]) -> None:
            killers: list[str] = []
            for mutant in item[1]:
                verdict = self.judge(worker, item[0], mutant, killers)
                verdicts[_place(mutant)] = verdict
                counts[verdict.name] += 1
                if verdict.name == "killed":
                    killers[:] = [
                        verdict.test,
                        *(t for t in killers if t != verdict.test),
                    ]
                else:
                    self.say(f"{verdict.name} {mutant.module}: {mutant.after}")

        self.work(queue, workers, one, **dict.fromkeys(KEEP, "1e9"))
        return [verdicts[_place(mutant)] for mutant in order]

    def judge(
        self, worker: Any, module: str, mutant: Mutant, killers: list[str]
    ) -> Verdict:
        began = time.perf_counter()
        tests = self.tests_of(mutant, module)
        name, by = "survived", f"{len(tests)} tests" if tests else "no test reaches it"
        ordered = [test for test in killers if test in tests]
        ordered += [test for test in tests if test not in ordered]
        source = mutant.planted(self.source(module)).decode()
        for part in filter(None, (ordered[:FIRST], ordered[FIRST:])):
            answer = self.ask(
                worker,
                files=list(dict.fromkeys(tests[test][0] for test in part)),
                tests=part,
                seconds={test: tests[test][1] for test in part},
                patience=self.patience,
                planted=(self.name(module), str(self.path(module)), source),
            )
            # 5 says that there were none of these tests: that is no failure.
            if answer["slow"] or answer["code"] not in (0, 5):
                name = "timeout" if answer["slow"] else "killed"
                run = [word["test"] for word in answer["said"] if "test" in word]
                by = run[-1] if run else "the import"
                break
        return Verdict(mutant, name, by, time.perf_counter() - began)


def _place(mutant: Mutant) -> tuple[str, int, int, str]:
    return mutant.module, mutant.start, mutant.end, mutant.text


def _reached(said: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the seconds of each test and the lines that it reaches, by module.

    What is executed when the file is collected, or a fixture set up, all its tests may
    need.
    """
    common = [place for word in said for place in word.get("hits", [])]
    common += [place for word in said for place in word.get("setup", [])]
    tests = {}
    for word in said:
        if "done" in word:
            hits: dict[str, set[int]] = {}
            for module, line in [*common, *word.get("call", []), *word["teardown"]]:
                hits.setdefault(module, set()).add(line)
            lines = {module: sorted(found) for module, found in hits.items()}
            tests[word["done"]] = word["seconds"], lines
    return tests
