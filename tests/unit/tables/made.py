"""A table with known features, and the same as a data frame with faults to choose."""

import numpy as np
import pandas as pd

M = 120


def frame(seed=0, **columns):
    """Return a table of 120 rows: age, dose, soil and alive."""
    rng = np.random.default_rng(seed)
    age, dose = rng.normal(50, 12, M).round(1), rng.uniform(0, 3, M).round(2)
    soil = rng.choice(["clay", "loam", "sand"], M)
    z = 0.08 * (age - 50) + dose - 1.5 + (soil == "loam")
    alive = np.where(rng.random(M) < 1 / (1 + np.exp(-z)), "yes", "no")
    made = {"age": age, "dose": dose, "soil": soil, **columns, "alive": alive}
    return pd.DataFrame(made)
