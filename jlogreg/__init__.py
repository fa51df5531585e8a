"""Binary logistic regression as pure functions in JAX.

One column per sample: X (n, m), y (1, m), w (n, 1), b (1, 1). The names are the
textbook's: z = wT X + b, a = sigmoid(z), J the mean of the losses, dw = dJ/dw.
"""

from jlogreg import loops
from jlogreg.arrays import Params, broadcast_shape, flatten_images, init_params
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
from jlogreg.certificate import Certificate, certificate
from jlogreg.checks import DtypeError, RankError, ShapeError
from jlogreg.cost import (
    cost,
    gradient,
    hessian,
    hessian_vector,
    value_and_gradient,
)
from jlogreg.design import Dense, Stacked
from jlogreg.fit import Fit, fit
from jlogreg.gradient_descent import Descent, gradient_descent
from jlogreg.influence import influence, leave_one_out
from jlogreg.many import Progress, fit_many
from jlogreg.predict import logits, predict, predict_proba
from jlogreg.solvers.descent import Optax
from jlogreg.solvers.newton import Newton
from jlogreg.solvers.newton_cg import NewtonCG
from jlogreg.sparse import Sparse
from jlogreg.standardized import Standardized, standardize
from jlogreg.status import FitError, Status, raise_if_failed
from jlogreg.validate import validate

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Dense",
    "Descent",
    "DtypeError",
    "Fit",
    "FitError",
    "Newton",
    "NewtonCG",
    "Optax",
    "Params",
    "Progress",
    "RankError",
    "ShapeError",
    "Sparse",
    "Stacked",
    "Standardized",
    "Status",
    "broadcast_shape",
    "certificate",
    "cost",
    "fit",
    "fit_many",
    "flatten_images",
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
    "sigmoid",
    "squared_loss",
    "standardize",
    "validate",
    "value_and_gradient",
]
