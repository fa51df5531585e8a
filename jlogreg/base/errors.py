"""Exceptions for arguments of wrong rank, shape or dtype, files, and failed fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["DtypeError", "FitError", "RankError", "ReadError", "ShapeError", "extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Return a context in which a missing package is named with its extra.

    Raises:
        ImportError: if a package outside of this library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("jlogreg"):
            raise
        raise ImportError(
            f'{missing} is not installed: pip install "jlogreg[{name}]"', name=missing
        ) from error


class RankError(ValueError):
    """Error for an array of the wrong rank.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([0.0, 1.0, 1.0]))
        Traceback (most recent call last):
            ...
        jlogreg.RankError: y has rank 1, shape (3,), but must have rank 2, ...
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback


class ShapeError(ValueError):
    """Error for an array of the right rank, but of the wrong sizes.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([[0.0], [1.0], [1.0]]))
        Traceback (most recent call last):
            ...
        jlogreg.ShapeError: y has rank 2, shape (3, 1), but must have shape ...
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback


class DtypeError(TypeError):
    """Error for an argument that is not an array of the expected dtype.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([[0, 1, 1]], jnp.int8))
        Traceback (most recent call last):
            ...
        jlogreg.DtypeError: y has dtype int8, but must be float32 or float64: ...
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback


class FitError(RuntimeError):
    """Error for a fit that did not converge, with the reason.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit, raise_if_failed
        >>> X = jnp.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])
        >>> y = jnp.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
        >>> raise_if_failed(fit(X, y))
        Traceback (most recent call last):
            ...
        jlogreg.FitError: SEPARATED: a plane separates the labels, ...
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback


class ReadError(OSError):
    """Error for features that cannot be read from their file.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from jlogreg import Streamed, fit
        >>> class Broken:
        ...     shape, dtype = (1, 4), np.dtype(np.float32)
        ...
        ...     def read(self, start, stop):
        ...         raise OSError("the disk is gone")
        >>> fit(Streamed(Broken()), jnp.array([[0.0, 1.0, 0.0, 1.0]], jnp.float32))
        Traceback (most recent call last):
            ...
        jlogreg.ReadError: Broken: ... cannot be read: the disk is gone
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback
