"""A model in words, and as plain data."""

from __future__ import annotations

from typing import Any

from jlogreg.base.formatting import align
from jlogreg.tables.model import Model
from jlogreg.tables.scores import remarks_on

__all__ = [
    "described",
    "model_text",
    "penalty_text",
    "validation_remarks",
    "validation_rows",
    "validation_text",
]

NAMES = {
    "roc_auc": "area under the ROC curve",
    "average_precision": "average precision",
    "brier": "Brier score",
    "log_loss": "log loss (nats)",
    "accuracy": "accuracy",
}


def model_text(model: Model) -> str:
    """Return the summary of a model, what was decided, and held-out scores, as text."""
    told = [f"Table {model.source}", *(f"- {line}" for line in model.told)]
    parts = ["\n".join(told), penalty_text(model), str(model.summary())]
    rows = validation_rows(model)
    table = [align(rows, left=1)] if rows else []
    remarks = validation_remarks(model)
    found = "\n".join([validation_text(model), *table, *remarks])
    return "\n\n".join([*parts, found])


def penalty_text(model: Model) -> str:
    """Return the penalty, and how it was chosen, as a line."""
    if model.firth:
        return (
            "Firth's estimate, by Jeffreys' prior: finite, with less bias; intervals "
            "are those of the penalised profile likelihood, z and p Wald's"
        )
    chosen = model.validation is not None and len(model.validation.l2) > 1
    how = ", chosen by cross-validation" if chosen else ""
    sizes = [
        f"{name}={size:.4g}"
        for name, size in (("l1", model.l1), ("l2", model.l2))
        if size
    ]
    if not sizes:
        return f"No penalty{how}"
    return f"Penalty {', '.join(sizes)} of the standardised features{how}"


def validation_text(model: Model) -> str:
    """Return what cross-validation did, as a line."""
    found = model.validation
    if found is None:
        return "There are no held-out scores: there was no cross-validation."
    if found.failed:
        return (
            f"There are no held-out scores: {len(found.failed)} of {found.folds} fits "
            f"without a fold have no answer ({', '.join(sorted({*found.failed}))}): "
            "choose a penalty, l2=0.001 say"
        )
    return f"Scores of held-out rows, mean of {found.folds} folds:"


def validation_remarks(model: Model) -> list[str]:
    """Return what to beware of in the held-out scores, as sentences."""
    found, remarks = model.validation, list[str]()
    if found is None or any(value is None for value in found.scores.values()):
        return remarks
    if len(found.l2) > 1:
        remarks.append(
            "The penalty was chosen on the same folds, so these scores are slightly "
            "optimistic."
        )
    accuracy = found.scores["accuracy"]
    return remarks + remarks_on(accuracy or 0.0, _larger(model))


def validation_rows(model: Model) -> list[list[str]]:
    """Return the held-out scores with their names, none if there are none."""
    if model.validation is None:
        return []
    values = model.validation.scores
    if any(value is None for value in values.values()):
        return []
    rows = [[text, f"{values[name]:.4f}"] for name, text in NAMES.items()]
    rows.append(["always the larger class", f"{_larger(model):.4f}"])
    return rows


def _larger(model: Model) -> float:
    """Return the share of the larger class."""
    known = model.share == model.share
    share = model.share if known else model.positives / model.rows
    return max(share, 1 - share)


def described(model: Model) -> dict[str, Any]:
    """Return a model as plain data: coefficients, scores, what was decided."""
    validation = model.validation
    return {
        "status": model.status,
        "source": model.source,
        "told": list(model.told),
        "rows": model.rows,
        "positives": model.positives,
        "l2": model.l2,
        "l1": model.l1,
        "firth": model.firth,
        "coefficients": {
            "name": [*model.names, *(["bias"] if model.schema.bias else [])],
            **{name: list(column) for name, column in model.table.items()},
        },
        "level": model.level,
        "remarks": list(model.remarks),
        "validation": None
        if validation is None
        else {
            "folds": validation.folds,
            "l2": list(validation.l2),
            "l1": list(validation.l1),
            "loss": list(validation.loss),
            **validation.scores,
            "remarks": validation_remarks(model),
        },
        "versions": model.versions,
    }
