"""Figures show the numbers that they are given."""

import numpy as np
import pytest
from sklearn import metrics

import jlogreg as jl
from jlogreg import ShapeError, plots
from jlogreg.plots import interval_forest, manhattan, penalty_path, qq, time_bars


def test_a_path_of_coefficients_has_curves_and_marks():
    l2, values = np.array([[1e-2], [1e-1], [1.0]]), np.array([[3.0, 2, 1], [-2, -1, 0]])
    best = np.array([[1e-1], [1.0]])
    figure = penalty_path(l2, values, best=best, labels=["a", "b"], title="w")
    (axes,) = figure.axes
    for line, row in zip(axes.lines, values, strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, [l2[:, 0], row])
    (marks,) = axes.collections
    np.testing.assert_allclose(marks.get_offsets(), [[0.1, 2], [1, 0]])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["a", "b", "best"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")


def test_many_curves_need_no_names():
    l2 = np.geomspace(1e-3, 1, 5).reshape(-1, 1)
    (axes,) = penalty_path(l2, np.ones((12, 5)), np.ones((12, 5)) / 4).axes
    assert len({tuple(line.get_color()) for line in axes.lines}) == 12
    assert len(axes.collections) == 12
    assert axes.get_legend() is None


def test_a_path_has_the_numbers_of_features_above():
    l2, counts = np.geomspace(0.01, 1, 4)[:, None], np.array([[3, 2, 1, 0]])
    figure = penalty_path(l2, np.ones((2, 4)), penalty="l1", n_selected=counts)
    losses, above = figure.axes
    (line,) = above.lines
    np.testing.assert_array_equal(line.get_ydata(), counts[0])
    np.testing.assert_array_equal(line.get_xdata(), l2[:, 0])
    assert above.get_ylabel() == "features chosen"
    assert above.get_xlim() == losses.get_xlim()
    figure = penalty_path(l2, np.ones((2, 4)), n_selected=np.tile(counts, (2, 1)))
    colors = [[line.get_color() for line in axes.lines] for axes in figure.axes]
    assert colors[0] == colors[1]
    with pytest.raises(ShapeError, match="n_selected"):
        penalty_path(l2, np.ones((2, 4)), n_selected=counts[:, :3])


def test_a_forest_shows_the_largest_in_their_order():
    estimate = np.array([[0.1], [-3.0], [2.0]])
    ends = np.array([[-1.0, 1.0]])
    figure = interval_forest(
        estimate, estimate + ends, estimate + ends / 2, ["a", "b", "c$"], most=2
    )
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", r"c\$"]
    wald, boot = axes.collections
    spans = [
        [segment[:, 0] for segment in kind.get_segments()] for kind in (wald, boot)
    ]
    np.testing.assert_allclose(spans[0], [[-4, -2], [1, 3]])
    np.testing.assert_allclose(spans[1], [[-3.5, -2.5], [1.5, 2.5]])


def test_bars_are_as_long_as_the_times():
    ways = ["slow", "quick", "quickest"]
    times = np.array([[1.25, 0.0123, 0.000456], [1.0, 2.0, 3.0]])
    axes, other = time_bars(times, ways, ["both", "other"]).axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([1250, 12.3, 0.456], rel=1e-15)
    assert [text.get_text() for text in axes.get_yticklabels()] == ways
    assert [text.get_text() for text in axes.texts] == ["1200 ms", "12 ms", "0.46 ms"]
    assert (axes.get_xscale(), axes.get_title()) == ("log", "both")
    assert axes.get_xlabel() == "time (ms, logarithmic)"
    assert axes.yaxis_inverted()
    assert [bar.get_width() for bar in other.patches] == [1000, 2000, 3000]


def column(*values):
    return np.array([values], np.float32).T


def test_peaks_that_reach_the_line_are_labelled_once_each():
    position = column(*range(100), *range(100))
    log10_p = np.zeros((200, 1), np.float32)
    log10_p[[20, 21, 150]], log10_p[60] = column(-9, -12, -8), np.nan
    names = [f"v{k}$" for k in range(200)]
    chromosome = ["1"] * 100 + ["2"] * 100
    (axes,) = manhattan(position, log10_p, chromosome, names).axes
    assert [text.get_text() for text in axes.texts] == [r"v21\$", r"v150\$"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2"]
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) > 2]
    assert [len(y) for y in drawn] == [99, 100]
    assert np.nanmax(drawn[0]) == 12
    starts = [line.get_xdata().min() for line in axes.lines[:2]]
    ends = [line.get_xdata().max() for line in axes.lines[:2]]
    assert starts[0] < ends[0] < starts[1] < ends[1]


@pytest.mark.parametrize("log10_p", [0.0, np.nan])
def test_a_scan_without_peaks_is_drawn(log10_p):
    values = np.full((3, 1), log10_p, np.float32)
    (axes,) = manhattan(column(1, 1, 1), values, "123", "abc").axes
    assert not axes.texts
    assert qq(values).axes[0].get_title() == f"{3 * (log10_p == 0)} variants"


def test_names_that_are_too_few_are_refused():
    with pytest.raises(jl.ShapeError, match="names has length 2, but there are 3"):
        manhattan(column(1, 2, 3), column(-1, -2, -3), "111", "ab")


def test_qq_draws_what_is_expected_against_what_was_found():
    p = (np.arange(1000) + 0.5) / 1000
    (axes,) = qq(column(*np.log10(p)), inflation=1.02).axes
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert axes.get_title() == "1000 variants, inflation λ = 1.020"


def test_of_points_in_the_same_place_one_is_drawn():
    random = np.random.default_rng(0)
    position = column(*np.repeat([1, 2, 3], 10_000))
    log10_p = -column(*random.integers(0, 5, 30_000))
    (axes,) = manhattan(position, log10_p, ["1"] * 30_000).axes
    assert len(axes.lines[0].get_xdata()) == 15


def test_the_roc_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(1, 60)).round(1), (rng.random((1, 60)) < 0.4).astype(float)
    weight = rng.integers(0, 3, (1, 60)).astype(float)
    figure = plots.roc_curve(z, y, weight=weight)
    _, curve = figure.axes[0].lines
    kept = weight[0] > 0
    false, true, _ = metrics.roc_curve(
        y[0, kept], z[0, kept], sample_weight=weight[0, kept], drop_intermediate=False
    )
    points = np.unique(np.stack([curve.get_xdata(), curve.get_ydata()]), axis=1)
    expected = np.unique(np.stack([false, true]), axis=1)
    np.testing.assert_allclose(points, expected, atol=1e-12)
    area = metrics.roc_auc_score(y[0], z[0], sample_weight=weight[0])
    assert figure.axes[0].get_title() == f"area under the ROC curve {area:.4f}"


def test_a_long_roc_curve_has_few_points():
    z = np.linspace(-1, 1, 5001)[None]
    figure = plots.roc_curve(z, (z > 0.1).astype(float))
    _, curve = figure.axes[0].lines
    assert len(curve.get_xdata()) == 2000
    assert (curve.get_xdata()[-1], curve.get_ydata()[-1]) == (1, 1)


def test_intervals_may_be_without_a_bootstrap():
    w = np.array([[1.0], [-2.0]])
    figure = plots.interval_forest(w, w + np.array([[-0.5, 0.5]]), unit="inch")
    assert figure.axes[0].get_xlabel() == "weight w (log-odds per inch)"
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["Wald", "estimate"]
