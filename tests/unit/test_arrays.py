"""Shapes and dtypes: what is refused, and with which words."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jlogreg import (
    DtypeError,
    Params,
    RankError,
    ShapeError,
    cost,
    flatten_images,
    init_params,
    log_loss,
    sigmoid,
    validate,
)

X = np.arange(6.0).reshape(2, 3)
Y = np.array([[0.0, 1.0, 1.0]])
PARAMS = init_params(2)


def test_errors_are_what_python_calls_them():
    assert issubclass(RankError, ValueError)
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DtypeError, TypeError)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"y": Y.T}, ShapeError, r"y .*\(3, 1\), but must have shape \(1, 3\): .*resh"),
        (
            {"y": Y[:, :2]},
            ShapeError,
            r"y .*\(1, 2\), but must have shape \(1, 3\)(\n|$)",
        ),
        ({"X": X.T}, ShapeError, r"y .*\(1, 3\), but must have shape \(1, 2\)(\n|$)"),
        ({"X": X[:, :0]}, ShapeError, r"X .*\(2, 0\): a size of 0"),
        ({"X": X[:0]}, ShapeError, r"X .*\(0, 3\): a size of 0"),
        ({"weight": Y.T}, ShapeError, r"weight .*weight.reshape\(1, -1\)"),
        ({"offset": Y[:, :1]}, ShapeError, r"offset .*must have shape \(1, 3\)"),
        ({"l2": np.ones((1, 2))}, ShapeError, r"l2 .*l2.reshape\(-1, 1\)"),
        ({"l2": np.ones((3, 1))}, ShapeError, r"l2 .*must have shape \(2, 1\)"),
        ({"params": init_params(3)}, ShapeError, r"w .*must have shape \(2, 1\)"),
        (
            {"params": PARAMS._replace(w=PARAMS.w.T)},
            ShapeError,
            r"w .*\(1, 2\).*w.reshape\(-1, 1\) for a column",
        ),
        ({"params": Params(jnp.zeros((2, 2)), jnp.zeros((2, 1)))}, ShapeError, "^w "),
        ({"X": X.astype(int)}, DtypeError, r"X has dtype int64.*X.astype\(jnp.float32"),
        ({"X": X > 1}, DtypeError, "X has dtype bool"),
        ({"X": X.astype(np.float16)}, DtypeError, "X has dtype float16"),
        ({"X": X.astype(complex)}, DtypeError, "X has dtype complex128"),
        ({"X": X.astype(object)}, DtypeError, "X has dtype object"),
        ({"X": X.astype(str)}, DtypeError, "X has dtype <U"),
        ({"X": X.tolist()}, DtypeError, r"X must be an array.*list.*jnp.asarray"),
        ({"X": None}, DtypeError, "X must be an array .*NoneType"),
        ({"X": "X"}, DtypeError, "X must be an array .*str"),
        ({"y": Y.astype(int)}, DtypeError, "y has dtype int64"),
        ({"y": Y > 0}, DtypeError, "y has dtype bool"),
        ({"y": Y.astype(np.float32)}, DtypeError, "y has dtype float32, but the other"),
        ({"y": None}, DtypeError, "y must be an array"),
        ({"weight": Y.astype(int)}, DtypeError, "weight has dtype int64"),
        ({"l2": "0.1"}, DtypeError, "l2 must be an array of floating.*str"),
        ({"l2": True}, DtypeError, "l2 must be an array of floating.*bool"),
        (
            {"params": tuple(PARAMS)},
            DtypeError,
            r"params must be Params\(w, b\).*tuple",
        ),
        ({"params": None}, DtypeError, r"params must be Params\(w, b\).*NoneType"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_static_mistakes_are_refused(changes, error, message, traced):
    """Eager or traced: rank, shape and dtype are known at trace time."""
    arguments = {"params": PARAMS, "X": X, "y": Y, **changes}
    call = partial(cost, **arguments)
    with pytest.raises(error, match=message):
        jax.eval_shape(call) if traced else call()


BAD_VALUES = [
    ("y", 2.0, r"y must be in \[0, 1\] everywhere, but 1 of 3 .*y\[0, 1\] = 2"),
    ("y", -1.0, r"y must be in \[0, 1\].*= -1"),
    ("y", np.nan, r"y must be in \[0, 1\].*= nan"),
    ("X", np.nan, r"X must be finite everywhere, but 1 of 6 .*X\[0, 1\] = nan"),
    ("X", np.inf, r"X must be finite.*= inf"),
    ("X", -np.inf, r"X must be finite.*= -inf"),
    ("weight", -0.5, r"weight must be at least 0 everywhere.*= -0.5"),
    ("weight", np.nan, "weight must be at least 0 everywhere.*= nan"),
    ("weight", np.inf, "weight must be at least 0 everywhere.*= inf"),
    ("offset", np.inf, "offset must be finite everywhere.*= inf"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_VALUES)
@pytest.mark.parametrize("function", [validate, lambda **a: cost(PARAMS, **a)])
def test_numbers_out_of_range_are_refused_in_eager_mode(function, name, value, message):
    arrays = {"X": X, "y": Y, "weight": np.ones((1, 3)), "offset": np.zeros((1, 3))}
    bad = arrays[name].copy()
    bad[0, 1] = value
    function(**arrays)
    for given in (bad, jnp.asarray(bad)):
        with pytest.raises(ValueError, match=message):
            function(**{**arrays, name: given})


@pytest.mark.parametrize(
    ("l2", "found"), [(-1, "-1"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_a_penalty_out_of_range_is_refused(l2, found):
    with pytest.raises(ValueError, match=f"l2 must be at least 0, but is {found}"):
        cost(PARAMS, X, Y, l2=l2)
    with pytest.raises(ValueError, match="l2 must be at least 0 everywhere"):
        cost(PARAMS, X, Y, l2=np.array([[0.0], [l2]]))


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match="weight is 0 for every sample"):
        validate(X, Y, weight=np.zeros((1, 3)))


def test_numbers_that_are_traced_make_nan():
    """Under jit a NaN in the data is a NaN in the cost, never a plausible number."""
    bad = np.where(X > 2, np.nan, X)
    assert np.isnan(jax.jit(cost)(PARAMS, bad, Y))
    assert np.isnan(jax.jit(lambda X: (validate(X, Y), X[0, 0])[1])(bad * np.nan))
    assert np.isnan(jax.jit(cost)(PARAMS, X, Y, weight=np.zeros((1, 3))))


def test_numbers_that_a_compiled_function_closes_over_are_checked():
    bad = jnp.asarray(np.where(X > 2, np.nan, X))
    with pytest.raises(ValueError, match="X must be finite"):
        jax.jit(lambda params: cost(params, bad, jnp.asarray(Y)))(PARAMS)


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_flatten_images_runs_down_each_column_in_c_order(shape, dtype):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    columns = flatten_images(images)
    assert columns.shape == (np.prod(shape[1:]), shape[0])
    assert columns.dtype == dtype
    for i, image in enumerate(images):
        np.testing.assert_array_equal(columns[:, i], list(image.flat))
    np.testing.assert_array_equal(columns.T.reshape(shape), images)


def test_flatten_images_refuses_what_holds_no_image():
    with pytest.raises(ShapeError, match="a size of 0 holds nothing"):
        flatten_images(np.zeros((0, 3, 3)))
    with pytest.raises(DtypeError, match=r"images must be an array .*list"):
        flatten_images([[[1.0]]])
    with pytest.raises(DtypeError, match="images has dtype <U1, but must hold real"):
        flatten_images(np.full((1, 1, 1), "a"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, None])
def test_init_params_are_zeros(dtype):
    params = init_params(3, dtype)
    assert isinstance(params, Params)
    assert (params.w.shape, params.b.shape) == ((3, 1), (1, 1))
    assert params.w.dtype == params.b.dtype == (dtype or np.float64)
    assert not params.w.any()
    assert not params.b.any()


@pytest.mark.parametrize(
    ("n", "dtype", "error", "message"),
    [
        (0, None, ValueError, "n must be at least 1, but is 0"),
        (2.0, None, DtypeError, "n must be a whole number, but is 2.0"),
        (True, None, DtypeError, "n must be a whole number, but is True"),
        (2, int, DtypeError, "dtype has dtype int64, but must be float32 or float64"),
    ],
)
def test_init_params_refuses(n, dtype, error, message):
    with pytest.raises(error, match=message):
        init_params(n, dtype)


def test_elements_are_scalars_or_matrices_of_one_shape_and_dtype():
    z, y = np.zeros((2, 2)), np.float64(1.0)
    assert log_loss(z, y).shape == log_loss(0.0, z).shape == (2, 2)
    assert sigmoid(0.0) == 0.5
    with pytest.raises(ShapeError, match=r"equal, but are z \(2, 2\), y \(1, 2\)"):
        log_loss(z, z[:1])
    with pytest.raises(DtypeError, match="equal, but are z float64, y float32"):
        log_loss(z, z.astype(np.float32))
    for bad in (0, True, "0", None, [0.0], np.zeros((2, 2), int)):
        with pytest.raises(DtypeError, match=r"^z (must be an array|has dtype int64)"):
            sigmoid(bad)
