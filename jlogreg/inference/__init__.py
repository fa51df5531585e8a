"""Floor 7: what a fit means, the public namespace `jlogreg.inference`.

Imports `certification`, `diagnostics`, `batch` and the floors below them.
"""

from jlogreg.inference.covariance import correlation, covariance, standard_errors

__all__ = ["correlation", "covariance", "standard_errors"]
