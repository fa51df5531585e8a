"""The processes that make one run: what each has of the work, and what all know."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import msgspec
import numpy as np

import jlogreg
from experiments.errors import UserError
from jlogreg.data.devices.mesh import gather_bytes

Item = TypeVar("Item")
Record = TypeVar("Record", bound=tuple[Any, ...])  # a NamedTuple of arrays


class Group(NamedTuple):
    """So many processes, of which this one has a number; by default it is alone."""

    total: int = 1
    number: int = 0

    def gather(self, content: bytes) -> list[bytes]:
        """Return what each process gives, in all of them; they wait for each other."""
        return [content] if self.total == 1 else gather_bytes(content)

    def joined(self, record: Record) -> Record:
        """Return a record of arrays with the rows of all processes, in their order."""
        if self.total == 1:
            return record
        buffer = io.BytesIO()
        np.savez(buffer, *record)
        parts = [np.load(io.BytesIO(part)) for part in self.gather(buffer.getvalue())]
        rows = (np.concatenate([part[name] for part in parts]) for name in parts[0])
        return type(record)(*rows)

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the part of this process: what follows the part of the one before."""
        first, last = (
            len(items) * place // self.total for place in (self.number, self.number + 1)
        )
        return items[first:last]

    def dealt(self, labels: Any) -> Any:
        """Return labels by which `fit_many` deals its problems to all processes."""
        if self.total == 1:
            return jax.numpy.asarray(labels)
        everywhere = jax.sharding.PartitionSpec()
        whole = jax.sharding.NamedSharding(jlogreg.mesh(), everywhere)
        return jax.make_array_from_process_local_data(whole, np.asarray(labels))

    def spread(self, X: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return X, y and weight of samples, of which each process holds a part.

        Raises:
            UserError: if there are fewer samples than processes.
        """
        if self.total == 1:
            return jax.numpy.asarray(X), jax.numpy.asarray(y), None
        m = X.shape[1]
        if m < self.total:
            raise UserError(f"{m} samples are fewer than the {self.total} processes")
        part = self.own(range(m))
        own = slice(part[0], part[-1] + 1)
        X, y, weight, _ = jlogreg.put(jlogreg.mesh(), X[:, own], y[:, own])
        return X, y, weight

    def check_same(self, name: str) -> None:
        """Raise a UserError in all processes unless their runs have the same name."""
        names = [other.decode() for other in self.gather(name.encode())]
        if len(set(names)) > 1:
            raise UserError(
                "the settings, the data or the code differ between the processes, "
                f"whose runs would be {', '.join(names)}"
            )

    @contextmanager
    def place(self, runs: Path) -> Iterator[Path]:
        """Yield where this process writes: the first into runs, others for a while."""
        if self.number == 0:
            yield runs
        else:
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder)

    def share_state(self, folder: Path, finished: bool) -> bool:
        """Return whether the first process's run is finished.

        If not, all get the arrays in its folder, from which it goes on.
        """
        if self.total == 1:
            return finished
        files = {} if finished else {p.name: p for p in folder.glob("*.npz")}
        state = finished, {name: path.read_bytes() for name, path in files.items()}
        finished, arrays = msgspec.msgpack.decode(
            self.gather(msgspec.msgpack.encode(state))[0],
            type=tuple[bool, dict[str, bytes]],
        )
        for name, content in arrays.items() if self.number else ():
            (folder / name).write_bytes(content)
        return finished


ALONE = Group()
