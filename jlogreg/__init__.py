"""Binary logistic regression as pure functions in JAX.

One column per sample: X (n, m), y (1, m), w (n, 1), b (1, 1). The names are the
textbook's: z = wT X + b, a = sigmoid(z), J the mean of the losses, dw = dJ/dw.
"""

from jlogreg import loops
from jlogreg.arrays import Params, broadcast_shape, flatten_images, init_params, stack
from jlogreg.bernoulli import (
    likelihood,
    log_likelihood,
    log_loss,
    log_loss_dz,
    log_loss_dz2,
    log_sigmoid,
    sigmoid,
    squared_loss,
)
from jlogreg.beside import Scan
from jlogreg.certificate import Certificate, certificate
from jlogreg.cost import (
    cost,
    gradient,
    hessian,
    hessian_vector,
    value_and_gradient,
)
from jlogreg.cross_validation import CrossValidation, cross_validate
from jlogreg.design import Dense, Stacked
from jlogreg.errors import DtypeError, RankError, ShapeError
from jlogreg.fit import Fit, fit
from jlogreg.gradient_descent import Descent, gradient_descent
from jlogreg.graph import computation_graph
from jlogreg.influence import influence, leave_one_out
from jlogreg.many import Progress, fit_many
from jlogreg.nodes import Graph, Node
from jlogreg.path import regularization_path
from jlogreg.predict import logits, predict, predict_proba
from jlogreg.scan import scan_blocks, scan_features
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.sparse import Sparse
from jlogreg.standardized import Standardized, standardize
from jlogreg.status import FitError, Status, raise_if_failed
from jlogreg.summary import summary
from jlogreg.validate import validate
from jlogreg.weights import bootstrap_weights, fold_weights

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "CrossValidation",
    "Dense",
    "Descent",
    "DtypeError",
    "Fit",
    "FitError",
    "Graph",
    "Newton",
    "NewtonCG",
    "Node",
    "Optax",
    "Params",
    "Progress",
    "RankError",
    "Scan",
    "ShapeError",
    "Sparse",
    "Stacked",
    "Standardized",
    "Status",
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
    "influence",
    "init_params",
    "leave_one_out",
    "likelihood",
    "log_likelihood",
    "log_loss",
    "log_loss_dz",
    "log_loss_dz2",
    "log_sigmoid",
    "logits",
    "loops",
    "predict",
    "predict_proba",
    "raise_if_failed",
    "regularization_path",
    "scan_blocks",
    "scan_features",
    "sigmoid",
    "squared_loss",
    "stack",
    "standardize",
    "summary",
    "validate",
    "value_and_gradient",
]
