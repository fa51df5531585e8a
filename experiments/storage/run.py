"""Keep a run in a folder of its own, so that a kill at any moment loses nothing.

Every file but one is written whole: to a temporary name, synced, renamed. The one that
grows, metrics.jsonl, is synced after every line, and begun anew by every process.
Arrays carry a digest, which is checked when they are read. A run that has its
finished.json is finished; it has the digests of all its files.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft

from experiments.errors import UserError, one_line
from experiments.processes.group import ALONE, Group
from experiments.storage.regular import open_file, read_file, unusable
from jlogreg import Progress as FitProgress
from jlogreg.base.checks import AnyArray

METRICS = "metrics.jsonl"
FINISHED = "finished.json"
LOCK = ".lock"
TEMPORARY = ".writing-"
# The length of a digest as text.
DIGEST = 64


class Run:
    """The folder of one run, the terminal that it prints to, and its processes."""

    def __init__(self, folder: Path, console: Console, group: Group = ALONE) -> None:
        """Open the folder, and remove files that a killed process left half written."""
        self.folder = folder
        self.console = console
        self.group = group
        for stale in folder.glob(f"{TEMPORARY}*"):
            _remove(stale)

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, or none."""
        with self.open_whole(name) as file:
            file.write(content)

    @contextmanager
    def open_whole(self, name: str) -> Iterator[BinaryIO]:
        """Open a file that gets its name when all of it is written, or never."""
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            raise UserError(f"{path}: must be a file, but is a folder: delete it")
        temporary = self.folder / f"{TEMPORARY}{name}"
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(self.folder)

    def new_folder(self, name: str) -> Path:
        """Return an empty folder in the run's, in place of whatever had its name."""
        folder = self.folder / name
        _remove(folder)
        folder.mkdir()
        return folder

    def write_arrays(self, name: str, **arrays: AnyArray | None) -> None:
        """Write arrays as an NPZ file, which has a digest as its comment.

        What is None is left out.
        """
        buffer = io.BytesIO()
        given = {key: array for key, array in arrays.items() if array is not None}
        plain: dict[str, Any] = {key: np.asarray(given[key]) for key in given}
        np.savez(buffer, **plain)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = bytes(DIGEST)  # its place, at the end of the file
        content = buffer.getvalue()[:-DIGEST]
        self.write(name, content + self._digest(name, content))

    def read_arrays(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of an NPZ file, or None if there is no such file.

        Raises:
            UserError: if the file is not as this run has written it.
        """
        path = self.folder / name
        if not path.exists():
            return None
        try:
            whole = read_file(path)
            content, digest = whole[:-DIGEST], whole[-DIGEST:]
            if digest != self._digest(name, content):
                raise UserError(f"{path}: is not as this run has written it")
        except UserError as error:
            raise self._unusable("cannot be resumed", error) from error
        with np.load(io.BytesIO(whole), allow_pickle=False) as file:
            return dict(file)

    def write_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as a PNG file."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        self.write(name, buffer.getvalue())

    def begin_metrics(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        """Write the metrics anew, with the lines of the steps that are done."""
        lines = (json.dumps(record) + "\n" for record in records)
        self.write(METRICS, "".join(lines).encode())

    def log(self, **record: Any) -> None:
        """Add one line to the metrics."""
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Write the digests of all files: the run is finished."""
        files = {
            path.relative_to(self.folder).as_posix(): _digest_of(path)
            for path in sorted(self.folder.rglob("*"))
            if path.name != LOCK and path.is_file()
        }
        digest = self._record_digest(files)
        record = json.dumps({"files": files, "digest": digest}, indent=2)
        self.write(FINISHED, record.encode())

    def is_finished(self) -> bool:
        """Return whether the run is finished, once all its files have been checked.

        Raises:
            UserError: if a file of a finished run is not as the run has written it.
        """
        path = self.folder / FINISHED
        if not path.exists():
            return False
        try:
            for name, digest in self._record(path).items():
                if _digest_of(self.folder / name) != digest:
                    raise UserError(f"{name} is not as this run has written it")
        except UserError as error:
            raise self._unusable("is damaged", error) from error
        return True

    def _record(self, path: Path) -> dict[str, str]:
        """Return the digests in the record of a finished run."""
        content = read_file(path)
        try:
            record = json.loads(content)
            if record["digest"] == self._record_digest(record["files"]):
                return dict(record["files"])
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        raise UserError(f"{path.name} is not as this run has written it")

    def _record_digest(self, files: Mapping[str, str]) -> str:
        return self._digest(FINISHED, json.dumps(files).encode()).decode()

    def _digest(self, name: str, content: bytes) -> bytes:
        """Return a digest, that of no other file and of no other run."""
        place = f"{self.folder.name}/{name}\n".encode(errors="surrogateescape")
        return hashlib.sha256(place + content).hexdigest().encode()

    def _unusable(self, what: str, error: UserError) -> UserError:
        reason = one_line(error).removeprefix(f"{self.folder}/")
        return UserError(
            f"{self.folder}: {what}: {reason}; delete this folder to start anew"
        )

    @contextmanager
    def progress(
        self, title: str, total: int, done: int = 0
    ) -> Iterator[Callable[[int], None]]:
        """Show a bar during the work; yield a function that advances it."""
        bar = Progress(
            TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeLeft(),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        with bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def track(
        self,
        title: str,
        total: int,
        done: int = 0,
        save: Callable[[FitProgress], None] | None = None,
    ) -> Iterator[Callable[[FitProgress], None]]:
        """Show a bar during fits; yield the function that they report progress to.

        Args:
            title: what stands before the bar.
            total: the number of fits.
            done: how many of them are finished already.
            save: called whenever more of them are.
        """
        with self.progress(title, total, done) as advance:

            def report(progress: FitProgress) -> None:
                nonlocal done
                new = int(progress.finished.sum()) - done
                if not new:
                    return
                if save is not None:
                    save(progress)
                done += new
                advance(new)

            yield report


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, lock it for this process, and name it in errors of writing.

    Raises:
        UserError: if another process has locked it, or it cannot be written.
    """
    try:
        descriptor = _open_lock(folder)
        try:
            # The system releases this lock when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(descriptor)
    except BlockingIOError:
        raise UserError(f"{folder}: another process is at this run") from None
    except OSError as error:  # a full disk, for one
        name = error.filename2 or error.filename
        inside = isinstance(name, str) and Path(name).parent == folder
        raise unusable(Path(name) if inside else folder, error) from error


def _open_lock(folder: Path) -> int:
    """Make the folder; return a descriptor of the lock in it, which stays empty.

    What is not a file of the run's own is refused: a link is not followed, and a pipe
    not waited for.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:  # a zero byte in the name
        raise unusable(folder, error) from error
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path}: must be a file, but is something else: delete it")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest_of(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
