"""Name what can be wrong with an argument: its rank, its sizes, its dtype."""

__all__ = ["DtypeError", "RankError", "ShapeError"]


class RankError(ValueError):
    """Say that an array has another rank than the one its role asks for.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([0.0, 1.0, 1.0]))
        Traceback (most recent call last):
            ...
        jlogreg.errors.RankError: y has rank 1, shape (3,), but must have rank 2, ...
    """


class ShapeError(ValueError):
    """Say that an array has the right rank, but sizes that do not fit.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([[0.0], [1.0], [1.0]]))
        Traceback (most recent call last):
            ...
        jlogreg.errors.ShapeError: y has rank 2, shape (3, 1), but must have shape ...
    """


class DtypeError(TypeError):
    """Say that an argument does not hold floating-point numbers of the right kind.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jlogreg import fit
        >>> fit(jnp.ones((2, 3)), jnp.array([[False, True, True]]))
        Traceback (most recent call last):
            ...
        jlogreg.errors.DtypeError: y has dtype bool, but must be float32 or float64: ...
    """
