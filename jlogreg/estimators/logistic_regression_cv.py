"""scikit-learn's LogisticRegressionCV, fitted by `cross_validate`."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import jax
import numpy as np
from sklearn import linear_model
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import (
    _raise_for_params,
    _routing_enabled,
    process_routing,
)

from jlogreg.batch.cross_validation import cross_validate
from jlogreg.batch.validation import CrossValidation
from jlogreg.estimators.folds import METRICS, Folds, best_of, scores_of
from jlogreg.estimators.parameters import check_penalty
from jlogreg.estimators.prediction import OneAgainstRestMixin
from jlogreg.estimators.samples import Training, check_training
from jlogreg.estimators.solve import columns_of, precision, settings_of, store, warn_of

__all__ = ["LogisticRegressionCV"]


class LogisticRegressionCV(OneAgainstRestMixin, linear_model.LogisticRegressionCV):  # type: ignore[misc]
    """Logistic regression that chooses its penalty by cross-validation.

    The parameters are those of `sklearn.linear_model.LogisticRegressionCV`, with the
    same defaults, and what is said of `LogisticRegression` holds here too. All labels,
    penalties and folds are fitted side by side by one `cross_validate`. What differs:

    - Each class against the rest, and each label, has a penalty of its own: `C_` and
      `l1_ratio_` (K,) (numbers for two classes, with use_legacy_attributes=False),
      chosen by the score of that problem.
    - A penalty with a fold whose fit did not converge is not chosen. If all are such,
      the smallest C is, with a warning.
    - scoring may be any of scikit-learn's. Accuracy, the log loss, the Brier score, the
      area under the ROC curve and the average precision are the fast ones.

    Shapes: for K problems (1 for two classes), n features, F folds, L values of C and
    R of l1_ratios: `coef_` (K, n), `intercept_`, `status_` (K,), of the fits to all
    samples; `Cs_` (L,), `l1_ratios_` (R,); `scores_` and `coefs_paths_` by class, (F,
    L, R) and (F, L, R, n + 1); `n_iter_` (K, F, L, R); without R where l1_ratios is not
    given. With use_legacy_attributes=False `scores_` and `n_iter_` are (F, R, L) for
    two classes, else (K, F, R, L), and `coefs_paths_` is (F, R, L, K, n + 1).

    Examples:
        >>> from jlogreg.estimators import LogisticRegressionCV
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = LogisticRegressionCV(Cs=5, scoring="neg_log_loss").fit(X, y)
        >>> model.C_.shape, model.scores_[0].shape  # of each class; of folds and Cs
        ((3,), (5, 5))
    """

    C_: Any
    scores_: Any
    coefs_paths_: Any
    l1_ratio_: Any

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> LogisticRegressionCV:
        """Return the model, fitted to the samples.

        Shapes: as for `LogisticRegression`. params are for the splitter and the scorer.
        """
        _raise_for_params(params, self, "fit")
        _, self.l1_ratios_ = check_penalty(self)
        given = check_training(self, X, y, sample_weight, self.class_weight)
        of_split, of_score = self._routed(sample_weight, params)
        labels = None if given.multilabel else given.labels
        cv = check_cv(self.cv, labels, classifier=not given.multilabel)
        splits = [*cv.split(given.X, given.labels, **of_split)]
        folds = Folds.of(splits, given.X.shape[0], given.X.dtype)
        metric = self._metric(given, folds, of_score)
        found = self._validated(given, folds, metric)
        scores = scores_of(found, given, folds, metric, self._get_scorer(), of_score)
        self._choose(given, found, scores)
        self._store_paths(found, scores)
        warn_of(np.append(found.status, self.status_))
        return self

    def _routed(
        self, sample_weight: Any, params: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters of the splitter, and those of the scorer."""
        if not _routing_enabled():
            own = {} if sample_weight is None else {"sample_weight": sample_weight}
            return {}, own
        routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
        return routed.splitter.split, routed.scorer.score

    def _metric(
        self, given: Training, folds: Folds, of_score: dict[str, Any]
    ) -> tuple[str, int] | None:
        """Return the metric of `cross_validate` that is the score, if one is."""
        scoring = "accuracy" if self.scoring in (None, "warn") else self.scoring
        if not isinstance(scoring, str) or set(of_score) - {"sample_weight"}:
            return None
        # The scorer may not ask for the weights, and is not told those of the classes.
        counted = given.own[given.own > 0]
        asked = of_score.get("sample_weight") is not None
        same = self.class_weight is None and (asked or (counted == counted[0]).all())
        return METRICS.get(scoring) if same and folds.complete else None

    def _validated(
        self, given: Training, folds: Folds, metric: tuple[str, int] | None
    ) -> CrossValidation:
        """Return the fits of all labels, penalties and folds, on the host."""
        Cs = self.Cs
        if isinstance(Cs, Integral):
            Cs = np.logspace(-4, 4, int(Cs))
        self.Cs_, dtype = np.asarray(Cs, float), given.X.dtype
        if self.Cs_.ndim != 1 or not (self.Cs_ > 0).all():
            raise ValueError(f"Cs must be numbers above 0, but is {self.Cs!r}")
        # A penalty for each pair of a C and a share of L1, the share varying faster.
        sizes, ratios = np.meshgrid(1 / self.Cs_, self.l1_ratios_, indexing="ij")
        l2, l1 = (
            (share * sizes).reshape(-1, 1).astype(dtype)
            for share in (1 - ratios, ratios)
        )
        with precision(dtype):
            X, Y, weight = columns_of(given)
            more = ((0, 0), (0, Y.shape[1] - folds.rows.shape[1]))
            found = cross_validate(
                X,
                Y,
                l2,
                l1=l1,
                weight=weight,
                folds=np.pad(folds.rows, more, constant_values=1),
                reduction="sum",
                metrics=sorted({metric[0]} - {"log_loss"}) if metric else [],
                **settings_of(self, dtype),
            )
            return jax.device_get(found)

    def _choose(
        self, given: Training, found: CrossValidation, scores: np.ndarray
    ) -> None:
        """Choose a penalty for each label, and set its coefficients; scores (K, F, P).

        P = L R, the number of penalties.
        """
        label, R = np.arange(len(scores)), len(self.l1_ratios_)
        smallest = int(np.argmin(self.Cs_)) * R
        if self.refit:
            # A score may be undefined in some folds, but in no fold may the fit fail.
            failed = np.any(found.status, axis=2)
            best = best_of(np.where(failed[:, None], np.nan, scores), smallest)
            self.C_, self.l1_ratio_ = self.Cs_[best // R], self.l1_ratios_[best % R]
            params, status = jax.tree.map(
                lambda leaf: leaf[label, best], (found.path.params, found.path.status)
            )
        else:
            fold = np.arange(scores.shape[1])
            best = best_of(scores.reshape(-1, 1, scores.shape[2]), smallest)
            best = best.reshape(scores.shape[:2])
            self.C_ = self.Cs_[best // R].mean(axis=1)
            self.l1_ratio_ = self.l1_ratios_[best % R].mean(axis=1)
            params, status = jax.tree.map(
                lambda leaf: leaf[label[:, None], best, fold],
                (found.fold_fits.params, found.fold_fits.status),
            )
            params = jax.tree.map(lambda leaf: leaf.mean(axis=1), params)
            status = status.max(axis=1)
        store(self, given, params, status)

    def _store_paths(self, found: CrossValidation, scores: np.ndarray) -> None:
        """Set the attributes of the folds, in scikit-learn's older or newer form."""
        w, b = map(np.asarray, found.fold_fits.params)
        paths = w[..., 0]  # (K, P, F, n)
        if self.fit_intercept:
            paths = np.concatenate([paths, b[..., 0]], axis=3)
        (K, F, _), L, R = scores.shape, len(self.Cs_), len(self.l1_ratios_)
        paths, steps = (
            np.swapaxes(leaf, 1, 2).reshape(K, F, L, R, *leaf.shape[3:])
            for leaf in (paths, np.asarray(found.fold_fits.steps))
        )
        scores = scores.reshape(K, F, L, R)
        single = K == 1
        if self.use_legacy_attributes:  # also where it is "warn", the default
            if self.l1_ratios is None or isinstance(self.l1_ratios, str):
                paths, scores, steps = (x[:, :, :, 0] for x in (paths, scores, steps))
            classes = self.classes_[-K:].tolist()
            self.scores_ = dict(zip(classes, scores, strict=True))
            self.coefs_paths_ = dict(zip(classes, paths, strict=True))
            self.n_iter_ = steps
            return
        self.coefs_paths_ = np.moveaxis(paths, (0, 1, 3), (3, 0, 1))
        scores, steps = (np.swapaxes(leaf, 2, 3) for leaf in (scores, steps))
        self.scores_, self.n_iter_ = (
            (scores[0], steps[0]) if single else (scores, steps)
        )
        if single:
            self.C_, self.l1_ratio_ = float(self.C_[0]), float(self.l1_ratio_[0])
