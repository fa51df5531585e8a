"""Binary logistic regression as pure functions in JAX.

One column per sample: X (n, m), y (1, m), w (n, 1), b (1, 1). The names are the
textbook's: z = wT X + b, a = sigmoid(z), J the mean of the losses, dw = dJ/dw.

The folders are floors, and each imports only from lower floors:

1. `base`: errors, arrays, argument checks, parameters, statuses; no mathematics.
   `progress`: printers of the progress of long calls; a namespace.
2. `losses`: elementwise mathematics of the Bernoulli likelihood.
   `data`: features and samples, and the sum over samples.
   `solvers`: minimization of convex functions; they know nothing of the model.
   `graph`: the computation graph of any scalar function.
3. `objective`: the cost J of one model and its derivatives.
   `metrics`: how well predictions agree with labels (public, as `jlogreg.metrics`).
4. `formulations`: the cost as a solver sees it, one file per set of unknowns.
   `loops`: the same model by explicit loops, which all else is compared with.
5. `fitting`: one fit.
6. `batch`: many fits on the same features.
   `certification`: what is proved of a fit, with code of its own.
   `diagnostics`: how well a fit describes its samples.
7. `inference`: what a fit means: its uncertainty, tests, intervals; a namespace.
8. `feature_scan`: one fit per feature, adjusted for covariates.
9. `plots`, `estimators`, `tables`, `testing`: figures, scikit-learn's estimators,
   tables from files and data frames, and laws for tests. They need extra packages, so
   that `import jlogreg` leaves them out.
10. `command`: the command line, `python -m jlogreg`.
"""

from jlogreg import inference, loops, metrics, progress
from jlogreg.base.errors import (
    DtypeError,
    FitError,
    RankError,
    ReadError,
    ShapeError,
)
from jlogreg.base.params import Params, init_params, stack
from jlogreg.base.shapes import broadcast_shape, flatten_images, one_against_rest
from jlogreg.base.status import Status, raise_if_failed
from jlogreg.batch.cross_validation import cross_validate
from jlogreg.batch.fit_many import fit_many
from jlogreg.batch.resampling import bootstrap_weights, fold_weights
from jlogreg.batch.scheduling.results import Progress
from jlogreg.batch.validation import CrossValidation
from jlogreg.certification.certificate import Certificate, certificate
from jlogreg.data.design import Dense, Stacked
from jlogreg.data.devices.mesh import mesh, put
from jlogreg.data.samples import validate
from jlogreg.data.sparse import Sparse
from jlogreg.data.standardized import Standardized, standardize
from jlogreg.data.streaming.streamed import Streamed
from jlogreg.diagnostics.influence import influence, leave_one_out
from jlogreg.feature_scan.results import Scan
from jlogreg.feature_scan.scan_features import scan_blocks, scan_features
from jlogreg.fitting.fit import Fit, fit
from jlogreg.fitting.gradient_descent import Descent, gradient_descent
from jlogreg.fitting.minibatch import MinibatchDescent, minibatch_descent
from jlogreg.fitting.penalty_grid import l1_max, penalty_grid
from jlogreg.fitting.regularization_path import regularization_path
from jlogreg.graph.computation_graph import computation_graph
from jlogreg.graph.graph import Graph, Node
from jlogreg.inference.summary import Summary, summary
from jlogreg.losses.bernoulli import (
    likelihood,
    log_likelihood,
    log_loss,
    log_loss_dz,
    log_loss_dz2,
    log_sigmoid,
    sigmoid,
    squared_loss,
)
from jlogreg.objective.cost import (
    cost,
    gradient,
    hessian,
    hessian_vector,
    subgradient,
    value_and_gradient,
)
from jlogreg.objective.prediction import logits, predict, predict_proba
from jlogreg.solvers.first_order import Optax
from jlogreg.solvers.lbfgs import LBFGS
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.solvers.proximal.proximal_newton import ProximalNewton

__version__ = "0.1.0"

__all__ = [
    "LBFGS",
    "Certificate",
    "CrossValidation",
    "Dense",
    "Descent",
    "DtypeError",
    "Fit",
    "FitError",
    "Graph",
    "MinibatchDescent",
    "Newton",
    "NewtonCG",
    "Node",
    "Optax",
    "Params",
    "Progress",
    "ProximalNewton",
    "RankError",
    "ReadError",
    "Scan",
    "ShapeError",
    "Sparse",
    "Stacked",
    "Standardized",
    "Status",
    "Streamed",
    "Summary",
    "bootstrap_weights",
    "broadcast_shape",
    "certificate",
    "computation_graph",
    "cost",
    "cross_validate",
    "fit",
    "fit_many",
    "flatten_images",
    "fold_weights",
    "gradient",
    "gradient_descent",
    "hessian",
    "hessian_vector",
    "inference",
    "influence",
    "init_params",
    "l1_max",
    "leave_one_out",
    "likelihood",
    "log_likelihood",
    "log_loss",
    "log_loss_dz",
    "log_loss_dz2",
    "log_sigmoid",
    "logits",
    "loops",
    "mesh",
    "metrics",
    "minibatch_descent",
    "one_against_rest",
    "penalty_grid",
    "predict",
    "predict_proba",
    "progress",
    "put",
    "raise_if_failed",
    "regularization_path",
    "scan_blocks",
    "scan_features",
    "sigmoid",
    "squared_loss",
    "stack",
    "standardize",
    "subgradient",
    "summary",
    "validate",
    "value_and_gradient",
]
