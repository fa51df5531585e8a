"""Join processes into a group, and end all of them where one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

import jax

from experiments.errors import UserError
from experiments.processes.group import ALONE, Group
from experiments.terminal import report

# Seconds: to find each other, and until a process that does not answer is lost.
MEET, HEARTBEAT = 60, 10
# Seconds that a process which fails as the first has done has to say so itself.
GRACE = 1.0
# Seconds that the watch has to say which process is lost, before the error is shown.
PATIENCE = 5.0
LOST = 3  # the exit code of a process that ends since another has
DONE = 2**32 - 1
RESUMES = "the same command resumes, with any number of processes"
# What the system calls when JAX aborts this process; kept, or it would be freed.
_ON_ABORT: list[Any] = []


class Place(NamedTuple):
    """Where the processes meet, how many they are, and which of them this is.

    All are None where JAX is to find them, from SLURM or Open MPI.
    """

    coordinator: str | None = None
    total: int | None = None
    number: int | None = None


@contextmanager
def joined(place: Place | None) -> Iterator[Group]:
    """Yield the group of processes that have met, or this process alone.

    A process of a group that fails ends at once, and with it the others: they would
    wait for it in vain.

    Raises:
        UserError: if they cannot meet.
    """
    if place is None:
        yield ALONE
        return
    _say_on_abort(f"--distributed: the processes have not met within {MEET} seconds")
    schedule_as_batch()
    host = _meet(place)
    group = Group(jax.process_count(), jax.process_index())
    _say_on_abort(
        f"a process of {group.total} has ended, or has not answered for {HEARTBEAT} "
        f"seconds, so all others end; {RESUMES}"
    )
    try:
        watch = _watch(group, host)
        yield group
        group.gather(b"")  # none ends before all are done
        watch.finish()
    except UserError as error:
        report(error)
        _end(2, group)
    except KeyboardInterrupt:
        print("Interrupted; the same command resumes.")
        _end(130, group)
    except Exception as error:
        # Perhaps a collective has failed since another process has ended.
        if type(error).__module__.startswith("jax") or "Gloo" in str(error):
            time.sleep(PATIENCE)
        traceback.print_exc()
        _end(1, group)


def schedule_as_batch() -> None:
    """Have no thread of this process interrupted by another that wakes, on Linux.

    The thread that carries sums between processes polls while they wait. Where a
    process has one core, it would otherwise keep that from the thread which is to fetch
    the data: a sum of 20 numbers then takes 4 ms instead of 0.1.
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _meet(place: Place) -> str:
    """Let JAX join the processes; return the name of the first one's machine."""
    try:
        jax.distributed.initialize(
            *place,
            initialization_timeout=MEET,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=HEARTBEAT,
        )
    except ValueError as error:
        raise UserError(
            "--distributed: JAX finds no processes of SLURM or Open MPI here: pass "
            f"--coordinator HOST:PORT --processes N --process I ({error})"
        ) from error
    except RuntimeError as error:
        raise UserError(f"--distributed: the processes do not meet: {error}") from error
    if place.coordinator is None:
        return socket.gethostname()
    return place.coordinator.rpartition(":")[0].strip("[]")


def _watch(group: Group, host: str) -> _Watch:
    """Return the watch of a group.

    Raises:
        UserError: if its processes cannot be connected.
    """
    try:
        return _Watch(group, host)
    except OSError as error:
        raise UserError(
            f"--distributed: the processes cannot connect to {host}: {error}"
        ) from error


class _Watch:
    """Connections to the first process, one of each other, which close with it."""

    def __init__(self, group: Group, host: str) -> None:
        """Connect the processes."""
        self.total = group.total
        if group.number == 0:
            family = socket.getaddrinfo(host, None)[0][0]
            with socket.create_server((host, 0), family=family) as server:
                address = f"{host} {server.getsockname()[1]}".encode()
                group.gather(address)
                self.others = dict(_accepted(server) for _ in range(group.total - 1))
        else:
            host, port = group.gather(b"")[0].decode().split()
            first = socket.create_connection((host, int(port)), timeout=MEET)
            first.settimeout(None)
            _send(first, group.number)
            self.others = {0: first}
        for index in self.others:
            threading.Thread(target=self._wait, args=(index,), daemon=True).start()

    def finish(self) -> None:
        """Tell the others that this process is done, and may end."""
        for other in self.others.values():
            _send(other, DONE)

    def _wait(self, index: int) -> None:
        """Wait until a process is done; if it is lost, end this one."""
        said = _received(self.others[index])
        if said == DONE:
            return
        if index:
            time.sleep(GRACE)
        lost = index if said is None else said
        for other in self.others.values():
            _send(other, lost)
        report(
            UserError(
                f"process {lost} of {self.total} has ended, so all others end; "
                f"{RESUMES}"
            )
        )
        _end(LOST)


def _accepted(server: socket.socket) -> tuple[int, socket.socket]:
    """Return the number of a process that connects, and the connection."""
    server.settimeout(MEET)
    connection, _ = server.accept()
    connection.settimeout(None)
    index = _received(connection)
    if index is None:
        raise UserError("--distributed: a process has ended before the work began")
    return index, connection


def _send(connection: socket.socket, number: int) -> None:
    with suppress(OSError):
        connection.sendall(number.to_bytes(4))


def _received(connection: socket.socket) -> int | None:
    """Return the number that the other process sends, None if it ends before."""
    try:
        content = connection.recv(4, socket.MSG_WAITALL)
    except OSError:
        return None
    return int.from_bytes(content) if len(content) == 4 else None


def _say_on_abort(words: str) -> None:
    """Let a line be the last that is printed where JAX aborts this process.

    It does so from a thread of its own, where no handler of Python's is called.
    """
    line = f"error: {words}\n".encode()

    def on_abort(_: int) -> None:
        os.write(2, line)
        os._exit(LOST)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_abort)
    _ON_ABORT.append(handler)
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def _end(code: int, group: Group = ALONE) -> NoReturn:
    """End this process now: at exit JAX would wait for the others.

    The first of a group has those that fail as it does say so: without it JAX aborts
    them.
    """
    if group.total > 1 and group.number == 0:
        time.sleep(GRACE)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
