"""List all values of the score of a feature of carriers, with their probabilities.

Nothing here uses jlogreg's mathematics: it is the independent side of a comparison.
"""

from __future__ import annotations

from math import comb

__all__ = ["score_p"]


def score_p(samples: int, cases: int, carriers: int, of_cases: int) -> float:
    """Return the p of the score test of a feature of 0 and 1, by enumeration.

    The null model is the bias alone, so that carriers are cases with the probability
    a = cases / samples, and so are the others. The score is the sum of the residuals of
    the carriers, less that of all residuals times the share of carriers.
    """
    a, share = cases / samples, carriers / samples
    seen = abs(of_cases - carriers * a)
    others, p = samples - carriers, 0.0
    for i in range(carriers + 1):
        for j in range(others + 1):
            score = (i - carriers * a) - share * (i + j - samples * a)
            if abs(score) >= seen - 1e-9:
                chance = a ** (i + j) * (1 - a) ** (samples - i - j)
                p += comb(carriers, i) * comb(others, j) * chance
    return p
