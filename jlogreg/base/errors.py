"""Errors: of an argument, by rank, sizes or dtype; and of a fit without an answer."""

from __future__ import annotations

__all__ = ["DtypeError", "FitError", "RankError", "ShapeError"]


class RankError(ValueError):
    """Say that an array has another rank than the one its role asks for.

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
    """Say that an array has the right rank, but sizes that do not fit.

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
    """Say that an argument does not hold floating-point numbers of the right kind.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([[False, True, True]]))
        Traceback (most recent call last):
            ...
        jlogreg.DtypeError: y has dtype bool, but must be float32 or float64: ...
    """

    __module__ = "jlogreg"  # where users import it from, in every traceback


class FitError(RuntimeError):
    """Say that a fit has no answer, and why.

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
