"""Minibatch descent: the steps by hand, resumed bit for bit, from arrays and files."""

import io
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental.sparse import BCOO

import jlogreg as jl
from jlogreg import minibatch_descent
from tests.helpers import EPS, assert_close, make_problem, same_bits

KEY, M, SIZE = jax.random.key(3), 45, 10
N_BATCHES = 5  # the last of 5 samples
RATE = 0.3
SGD, ADAM = optax.sgd(RATE), optax.adam(0.1)


def problem_of(**options):
    """Return a problem with weights, those of one batch 0, and NaN among them."""
    problem = make_problem((3, M), np.float64, "soft labels", seed=4, l2=0.1)
    weight = np.array(problem.weight)
    weight[0, 20:30] = 0
    X = problem.X.at[1, 24].set(jnp.nan)
    return problem._replace(X=X, weight=jnp.asarray(weight), **options)


def descend(problem, X=None, **changes):
    """Return the descent on a problem, of three epochs unless told otherwise."""
    X = problem.X if X is None else X
    how = {"optimizer": SGD, "epochs": 3, "batch_size": SIZE, "key": KEY}
    how |= problem.options | changes
    return minibatch_descent(problem.params, X, problem.y, **how)


def test_the_steps_are_those_by_hand():
    """Of a batch N sum_B weight L / sum weight, and the penalty, also of weights 0."""
    problem = problem_of()
    l2, (w, b) = problem.l2, problem.params
    weight, costs = np.asarray(problem.weight), []
    rows = {"offset": problem.offset}
    X = jnp.nan_to_num(problem.X)
    for epoch in range(3):
        order = jax.random.permutation(jax.random.fold_in(KEY, epoch), N_BATCHES)
        costs.append(0.0)
        for number in np.asarray(order):
            inside = np.arange(M)[None] // SIZE == number
            J, dw, db = 0.0, 0 * w, 0 * b
            share = N_BATCHES * weight[inside].sum() / weight.sum()
            if share:
                of_batch = jl.value_and_gradient(
                    jl.Params(w, b), X, problem.y, weight=weight * inside, **rows
                )
                J, (dw, db) = jax.tree.map(lambda part, s=share: s * part, of_batch)
            costs[-1] += (J + l2 * (w**2).sum() / 2) / N_BATCHES
            w, b = w - RATE * (dw + l2 * w), b - RATE * db
    found = descend(problem)
    scale = 1e4 * EPS
    assert_close(found.params.w, w, scale)
    assert_close(found.params.b, b, scale)
    assert_close(found.costs, np.array([costs]), scale)
    assert (found.epoch, found.batch) == (3, 0)


@pytest.mark.parametrize("bias", [True, False])
def test_one_batch_of_all_samples_is_gradient_descent(bias):
    problem = problem_of(params=jl.init_params(3, np.float64))
    found = descend(problem, batch_size=M, bias=bias)
    expected = jl.gradient_descent(
        *problem.arguments, learning_rate=RATE, steps=3, bias=bias, **problem.options
    )
    assert_close(found.params.w, expected.params.w, 1e3 * EPS)
    assert_close(found.params.b, expected.params.b, 1e3 * EPS)
    assert_close(found.costs, expected.costs, 1e3 * EPS)


class Source:
    """A source that keeps where each of its reads began, and may fail."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = np.asarray(X), X.shape, X.dtype
        self.reads, self.fails = [], False

    def read(self, start, stop):
        if self.fails:
            raise OSError("the disk is gone")
        self.reads.append(start)
        return self.X[:, start:stop]


@jax.numpy_dtype_promotion("standard")  # optax itself promotes its step count
def test_an_interrupted_descent_goes_on_bit_for_bit():
    """From each state, through a file, from an array or a stream, whatever is asked."""
    problem, seen = problem_of(), []
    adam = partial(descend, problem, optimizer=ADAM)
    whole = adam(progress=seen.append)
    assert {state.batch for state in seen} - {0}  # some are within an epoch
    for state in [*seen, adam(epochs=1), adam(epochs=0)]:
        kept = pickle.loads(pickle.dumps(jax.device_get(state)))
        rest = adam(resume=kept)
        assert same_bits(rest[:3], whole[:3])
    assert not adam(epochs=0).costs.size
    # A design that is read reads each batch once an epoch, beside the look at the
    # numbers, and goes on from the state of the array's descent.
    source = Source(problem.X)
    design = jl.Streamed(source)
    streamed = adam(design)
    assert same_bits(streamed[:3], whole[:3])
    passes = source.reads[-3 * N_BATCHES :]
    starts = sorted([0, 10, 20, 30, M - SIZE])
    assert [sorted(passes[k : k + 5]) for k in (0, 5, 10)] == [starts] * 3
    source.reads.clear()
    plain = problem._replace(X=jnp.nan_to_num(problem.X), weight=None)
    source.X = np.asarray(plain.X)
    streamed = descend(plain, design)
    assert same_bits(streamed[:3], descend(plain)[:3])
    # And the first batch once, by which the features are known, with the one ahead.
    assert len(source.reads) == 2 + 3 * N_BATCHES
    source.fails = True
    with pytest.raises(jl.ReadError, match="the disk is gone"):
        descend(plain, design)


def test_a_rate_that_decays_leads_to_the_minimum():
    """With the bound that the theory has for it, Gower et al. 2019, theorem 3.2.

    Where mu bounds the Hessian from below, L that of each batch from above, and s is
    the mean square of the batches' gradients at the minimum, the rate 2 / (mu (t + g)),
    g = 4 L / mu, leads after t steps to an expected squared distance of at most
    max(8 s / mu^2, g r) / (t + g), r that at the start.
    """
    mu, epochs = 0.5, 400
    problem = make_problem((3, 50), np.float64, seed=6, l2=mu)
    problem = problem._replace(weight=None, params=jl.init_params(3, np.float64))
    minimum = jl.fit(problem.X, problem.y, bias=False, **problem.options).params
    L, square = 0.0, 0.0
    for k in range(5):
        some = slice(k * 10, k * 10 + 10)
        X, y, offset = (a[:, some] for a in (problem.X, problem.y, problem.offset))
        L = max(L, np.linalg.eigvalsh(X @ X.T / 40)[-1] + mu)
        dw = jl.gradient(minimum, X, y, offset=offset, l2=mu).w
        square += (dw**2).sum() / 5
    g, r = 4 * L / mu, (minimum.w**2).sum()
    decaying = optax.sgd(lambda t: 2 / (mu * (t + g)))
    with jax.numpy_dtype_promotion("standard"):
        found = descend(problem, optimizer=decaying, epochs=epochs, bias=False)
    bound = max(8 * square / mu**2, g * r) / (5 * epochs + g)
    assert bound < r / 20
    assert ((found.params.w - minimum.w) ** 2).sum() < bound
    assert found.params.b == 0


def test_progress_is_shown_by_the_bar():
    shown = io.StringIO()
    with jl.progress.bar("epochs", file=shown) as bar:
        descend(problem_of(), progress=bar)
    assert "epochs: 3 of 3" in shown.getvalue()


def test_what_cannot_be_resumed_or_cut_is_an_error():
    problem = problem_of()
    state = descend(problem, epochs=1)
    others = [
        {"batch_size": 9},
        {"key": jax.random.key(4)},
        {"l2": 0.2},
        {"weight": None, "X": jnp.nan_to_num(problem.X)},
        {"X": 2 * problem.X},
        {"X": jl.Streamed(2 * np.asarray(problem.X))},
        {"optimizer": ADAM},
        {"bias": False},
    ]
    start = problem._replace(params=jl.init_params(3, np.float64))
    for other in others:
        with pytest.raises(ValueError, match="resume is of a call with other argument"):
            descend(start, resume=state, **other)
    with pytest.raises(jl.DtypeError, match=r"^resume must be a MinibatchDescent"):
        descend(problem, resume=state.params)
    sparse = BCOO.fromdense(jnp.nan_to_num(problem.X))
    with pytest.raises(jl.DtypeError, match=r"^X is sparse"):
        descend(problem, sparse)
