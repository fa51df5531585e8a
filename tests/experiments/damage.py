"""Damage files in every way, and give up what takes too long.

A damage takes the folder, the name of a file in it, the name of another, and a number
that says where.
"""

import os
import shutil
import signal
from contextlib import contextmanager

from hypothesis import strategies as st

SECONDS = 30
JUNK = bytes(range(256)) * 2


def changed(change):
    """Return a damage that changes the bytes of a file."""

    def damage(folder, name, other, k):
        path = folder / name
        if path.is_file() and path.stat().st_size < 10**7:
            content = path.read_bytes()
            remove(path)  # it may be a link
            path.write_bytes(change(content, k % max(len(content), 1), k))

    return damage


def replaced(make):
    """Return a damage that puts something else in the place of a file."""

    def damage(folder, name, other, k):
        path = folder / name
        remove(path)
        make(path, folder / other)

    return damage


def flip(byte, k):
    return bytes(number ^ 1 << k % 8 for number in byte)


def swap(folder, name, other, k):
    paths = folder / name, folder / other
    contents = [path.read_bytes() if path.is_file() else b"" for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        remove(path)
        path.write_bytes(content)


def move(folder, name, other, k):
    """Put a file elsewhere, and a link to it in its place."""
    path, target = folder / name, folder.parent / f"moved-{name}"
    if path.is_file() and not path.is_symlink():
        shutil.copy(path, target)
        remove(path)
        path.symlink_to(target)


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


DAMAGE = {
    "a bit": changed(
        lambda b, at, k: (
            b[:at] + bytes(x ^ 1 << k % 8 for x in b[at : at + 1]) + b[at + 1 :]
        )
    ),
    "a byte less": changed(lambda b, at, k: b[:at] + b[at + 1 :]),
    "a byte more": changed(lambda b, at, k: b[:at] + bytes([k % 256]) + b[at:]),
    "cut": changed(lambda b, at, k: b[:at]),
    "begun late": changed(lambda b, at, k: b[at:]),
    "a hole": changed(lambda b, at, k: b[:at] + bytes(len(b) - at)),
    "longer": changed(lambda b, at, k: b + b[:at]),
    "empty": changed(lambda b, at, k: b""),
    "junk": changed(lambda b, at, k: JUNK[k % 256 :][:300]),
    "swapped": swap,
    "moved": move,
    "gone": replaced(lambda path, other: None),
    "a pipe": replaced(lambda path, other: os.mkfifo(path)),
    "a folder": replaced(lambda path, other: path.mkdir()),
    "a link to nothing": replaced(lambda path, other: path.symlink_to("nothing")),
    "a link to itself": replaced(lambda path, other: path.symlink_to(path.name)),
    "a link to another": replaced(
        lambda path, other: path.symlink_to(other if other != path else "nothing")
    ),
    "a link outside": replaced(
        lambda path, other: path.symlink_to(path.parent.parent / "outside")
    ),
    "an endless device": replaced(lambda path, other: path.symlink_to("/dev/zero")),
}


def damages(names):
    """Return a strategy for lists of damages to files of these names, by their name."""
    one = st.tuples(
        st.sampled_from(sorted(DAMAGE)),
        st.sampled_from(names),
        st.sampled_from(names),
        st.integers(0, 10**5),
    )
    return st.lists(one, min_size=1, max_size=3)


def damage_files(folder, drawn):
    for kind, name, other, k in drawn:
        DAMAGE[kind](folder, name, other, k)


@contextmanager
def ends_soon():
    """Fail if what is done takes longer than any of it should."""

    def stop(*_):
        raise AssertionError(f"it took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
