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
from jlogreg.checks import DtypeError, RankError, ShapeError
from jlogreg.cost import (
    cost,
    gradient,
    hessian,
    hessian_vector,
    value_and_gradient,
)
from jlogreg.gradient_descent import Descent, gradient_descent
from jlogreg.predict import logits, predict, predict_proba
from jlogreg.validate import validate

__version__ = "0.1.0"

__all__ = [
    "Descent",
    "DtypeError",
    "Params",
    "RankError",
    "ShapeError",
    "broadcast_shape",
    "cost",
    "flatten_images",
    "gradient",
    "gradient_descent",
    "hessian",
    "hessian_vector",
    "init_params",
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
    "sigmoid",
    "squared_loss",
    "validate",
    "value_and_gradient",
]
