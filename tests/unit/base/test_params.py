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
    gradient_descent,
    init_params,
    likelihood,
    log_loss,
    log_loss_dz,
    log_loss_dz2,
    log_sigmoid,
    logits,
    predict,
    predict_proba,
    sigmoid,
    squared_loss,
    stack,
    validate,
    value_and_gradient,
)
from tests.helpers import assert_close

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


BAD_ROWS = [
    ("y", 2.0),
    ("y", -1.0),
    ("y", np.nan),
    ("X", np.nan),
    ("weight", -0.5),
    ("weight", np.inf),
    ("offset", np.inf),
    ("l2", -1.0),
    ("l2", np.nan),
    ("l2", np.inf),
]


@pytest.mark.parametrize(("name", "value"), BAD_ROWS)
def test_a_number_that_is_traced_and_out_of_range_makes_nan_of_its_lane(name, value):
    """Under jit and vmap nothing can be raised, and nothing plausible comes out."""
    params = PARAMS._replace(w=PARAMS.w + 1)
    arguments = {
        "X": X,
        "y": Y,
        "weight": np.ones((1, 3)),
        "offset": np.zeros((1, 3)),
        "l2": np.array(0.1),
    }
    good = jnp.asarray(arguments[name])
    bad = good.at[(0, 1) if good.ndim else ()].set(value)

    def both(changed):
        return value_and_gradient(params, **{**arguments, name: changed})

    J, slope = jax.jit(jax.vmap(both))(jnp.stack([good, bad]))
    due = both(good)
    assert np.isclose(J[0], due[0], rtol=1e-14)
    assert np.isnan(J[1])
    assert np.isfinite(slope.w[0]).all()
    assert np.isnan(slope.w[1]).any()

    def descent(changed):
        options = {**arguments, name: changed, "learning_rate": 0.1, "steps": 5}
        return gradient_descent(params, **options).costs

    costs = jax.jit(jax.vmap(descent))(jnp.stack([good, bad]))
    assert np.isfinite(costs[0]).all()
    assert np.isnan(costs[1]).all()


def test_a_number_that_a_compiled_function_holds_is_checked_as_in_eager_mode():
    """Constants are known at trace time, wherever they were made."""
    bad = np.where(X > 2, np.nan, X)
    for constant in (bad, jnp.asarray(bad)):
        with pytest.raises(ValueError, match="X must be finite"):
            jax.jit(lambda p, c=constant: cost(p, c, Y))(PARAMS)
        with pytest.raises(ValueError, match="X must be finite"):
            jax.jit(lambda p, c=constant: (validate(c, Y), p.b)[1])(PARAMS)
    for call, message in [
        (lambda p: cost(p, X, Y * 2), "y must be in"),
        (lambda p: cost(p, X, Y, weight=-Y), "weight must be at least 0"),
        (lambda p: cost(p, X, Y, weight=Y * 0), "weight is 0 for every sample"),
        (lambda p: cost(p, X, Y, l2=-1.0), "l2 must be at least 0, but is -1"),
        (lambda p: cost(p, X, Y, l2=-np.ones((2, 1))), "l2 must be at least 0 every"),
        (lambda p: predict(p, X, 7), r"threshold must be in \[0, 1\], but is 7"),
        (lambda p: log_loss(p.b, 2.0), r"y must be in \[0, 1\], but is 2"),
        (lambda p: gradient_descent(p, X, Y, learning_rate=-1.0, steps=3), "greater"),
        (lambda p: gradient_descent(p, X, Y, learning_rate=np.nan, steps=3), "greater"),
    ]:
        for transform in (jax.jit, jax.vmap, lambda f: f):
            stacked = jax.tree.map(lambda leaf: leaf[None], PARAMS)
            with pytest.raises(ValueError, match=message):
                transform(call)(stacked if transform is jax.vmap else PARAMS)


def test_weights_that_are_traced_and_all_zero_make_nan():
    assert np.isnan(jax.jit(cost)(PARAMS, X, Y, weight=np.zeros((1, 3))))


@pytest.mark.parametrize("function", [log_loss, log_loss_dz, likelihood, squared_loss])
def test_a_label_is_a_label_in_the_elementwise_functions_too(function):
    for label in (2.0, -0.5, np.nan):
        with pytest.raises(ValueError, match=r"y must be in \[0, 1\], but is"):
            function(0.5, label)
        assert np.isnan(jax.jit(function)(0.5, label))


@pytest.mark.parametrize("scale", [5e-308, 1e-30, 1e30, 8e307])
def test_the_scale_of_the_weights_decides_nothing(scale):
    weight = np.array([[1.0, 2.0, 0.5]])
    params = PARAMS._replace(w=PARAMS.w + 1)
    due = value_and_gradient(params, X, Y, weight=weight)
    found = value_and_gradient(params, X, Y, weight=weight * scale)
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(due), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-14)


def test_no_penalty_is_no_penalty_even_where_the_square_overflows():
    w = jnp.array([[1e200], [-1e200]])
    params = PARAMS._replace(w=w)
    tiny = np.full((2, 3), 1e-200)
    assert np.isclose(cost(params, tiny, Y), np.log(2), rtol=1e-14)
    costs = gradient_descent(params, tiny, Y, learning_rate=0.1, steps=9).costs
    assert np.allclose(costs, np.log(2), atol=0.2)


DTYPES_OF_OTHERS = [
    ({"params": Params(PARAMS.w.astype(np.float32), PARAMS.b)}, "w has dtype float32"),
    ({"params": Params(PARAMS.w, PARAMS.b.astype(np.float32))}, "b has dtype float32"),
    ({"l2": np.ones((2, 1), np.float32)}, "l2 has dtype float32"),
    ({"weight": np.ones((1, 3), np.float32)}, "weight has dtype float32"),
    ({"offset": np.ones((1, 3), np.float32)}, "offset has dtype float32"),
]


@pytest.mark.parametrize(("changes", "message"), DTYPES_OF_OTHERS)
def test_all_arrays_have_one_dtype(changes, message):
    with pytest.raises(DtypeError, match=f"{message}, but the other arrays have float"):
        cost(**{"params": PARAMS, "X": X, "y": Y, **changes})


def test_a_number_of_another_precision_is_taken():
    due = cost(PARAMS, X.astype(np.float64), Y, l2=0.5)
    assert cost(PARAMS, X, Y, l2=np.float32(0.5)) == due
    assert cost(PARAMS, X, Y, l2=1) == cost(PARAMS, X, Y, l2=1.0)
    with pytest.raises(ValueError, match="l2 does not fit a floating-point number"):
        cost(PARAMS, X, Y, l2=10**400)


@jax.enable_x64(False)
def test_without_x64_doubles_become_floats_and_long_integers_are_refused():
    assert cost(init_params(2), X, Y).dtype == np.float32
    assert init_params(2, np.float64).w.dtype == np.float32
    assert flatten_images(np.ones((2, 3, 3))).dtype == np.float32
    assert flatten_images(np.ones((2, 3, 3), np.uint8)).dtype == np.uint8
    with pytest.raises(DtypeError, match="images has dtype int64, which JAX would cut"):
        flatten_images(np.full((2, 3, 3), 2**40))


def test_masked_arrays_are_refused():
    masked = np.ma.masked_array(Y, Y > 0)
    with pytest.raises(DtypeError, match=r"y must be an array .*MaskedArray"):
        cost(PARAMS, X, masked)


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
    with pytest.raises(RankError, match=r"^images has rank 2, .* images\[None\] for"):
        flatten_images(np.zeros((3, 3)))
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
        (0, None, ValueError, "^n must be at least 1, but is 0"),
        (2.0, None, DtypeError, "n must be a whole number, but is 2.0"),
        (True, None, DtypeError, "n must be a whole number, but is True"),
        (
            2,
            int,
            DtypeError,
            "^dtype has dtype int64, but must .*: pass dtype=jnp.float",
        ),
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
        for function in (sigmoid, log_sigmoid, log_loss_dz2):
            with pytest.raises(
                DtypeError, match=r"^z (must be an arr|has dtype int64)"
            ):
                function(bad)


def test_parameters_show_themselves():
    params = Params(w=jnp.array([[1.5]]), b=jnp.array([[0.25]]))
    assert repr(params) == "Params(w=1.5 (1, 1), b=0.25 (1, 1))"
    rows = ("<th>w</th><td>1.5 (1, 1)</td>", "<th>b</th><td>0.25 (1, 1)</td>")
    assert all(row in params._repr_html_() for row in rows)


def models(K=3, n=2):
    """Return K models as fit_many and jax.vmap(fit) do, all numbers different."""
    numbers = np.arange(K * (n + 1), dtype=float).reshape(K, n + 1, 1) / 7 - 1
    return Params(w=numbers[:, :n], b=numbers[:, n:])


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_stacked_models_are_columns(transform):
    params = models()
    found = transform(stack)(params)
    assert (found.w.shape, found.b.shape) == ((2, 3), (3, 1))
    for k in range(3):
        np.testing.assert_array_equal(found.w[:, k], params.w[k, :, 0])
        np.testing.assert_array_equal(found.b[k], params.b[k, :, 0])


def each_model(function, params):
    """Return the rows of one model after another."""
    K = len(params.w)
    one = [function(Params(w=params.w[k], b=params.b[k]), X) for k in range(K)]
    return np.concatenate(one)


def test_stacked_models_predict_by_one_product():
    params = models()
    together, size = stack(params), np.abs(params.w[:, :, 0]) @ np.abs(X) + 1
    within = 8 * np.finfo(float).eps * size  # two products and a sum, here and there
    for function in (logits, predict_proba, predict):
        due = each_model(function, params)
        found = function(together, X)
        assert found.shape == due.shape == (3, 3)
        assert_close(found, due, within)
        with pytest.raises(AssertionError, match="too far"):
            assert_close(
                function(stack(jax.tree.map(np.negative, params)), X), due, within
            )


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        (
            PARAMS,
            RankError,
            r"w of shape \(2, 1\) and b .*\(1, 1\), but must have a lead",
        ),
        (models()._replace(b=np.ones((3, 1))), RankError, r"b of shape \(3, 1\), but"),
        (
            jax.tree.map(lambda leaf: leaf[None], models()),
            RankError,
            "map over several",
        ),
        (models()._replace(b=models(2).b), ShapeError, r"\(2, 1, 1\), but must have"),
        (models()._replace(b=models().w), ShapeError, r"b of shape \(3, 2, 1\), but"),
        (
            Params(w=np.ones((3, 2, 2)), b=np.ones((3, 1, 1))),
            ShapeError,
            r"w of shape \(3, 2, 2\) .* must have \(K, n, 1\) and \(K, 1, 1\)",
        ),
        (tuple(models()), DtypeError, r"params must be Params\(w, b\).*tuple"),
        (
            models()._replace(w=[[[1.0]]]),
            DtypeError,
            "params.w must be an array .*list",
        ),
        (
            models()._replace(b=np.ones((3, 1, 1), int)),
            DtypeError,
            "params.b has dtype",
        ),
    ],
)
def test_what_are_no_models_is_not_stacked(params, error, words):
    with pytest.raises(error, match=words):
        stack(params)
