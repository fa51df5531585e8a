"""`jlogreg report`: a page on a model and a table, one file that needs no network."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Iterable
from html import escape

from matplotlib.figure import Figure

from jlogreg import tables
from jlogreg.base.formatting import lines_as_html, table_as_html
from jlogreg.command.figures import forest, path, reliability, roc, svg
from jlogreg.command.fitting import check_out, read
from jlogreg.command.terminal import UserError
from jlogreg.command.text import (
    penalty_text,
    validation_remarks,
    validation_rows,
    validation_text,
)
from jlogreg.command.using import write_whole

__all__ = ["page_of", "write"]

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --soft: #666; --ground: #f6f7f9 }
@media (prefers-color-scheme: dark) {
  :root { --line: #444; --soft: #aaa; --ground: #1d1f23 }
  body { background: #121417; color: #e6e6e6 }
  img { filter: invert(1) hue-rotate(180deg) }
}
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem;
  padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.soft, figcaption { color: var(--soft) }
div.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
th:first-child { text-align: left; white-space: normal; position: sticky; left: 0;
  background: Canvas }
@media (prefers-color-scheme: dark) { th:first-child { background: #121417 } }
div.pair { display: flex; flex-wrap: wrap; gap: 1.5rem }
div.pair > * { flex: 1 1 20rem; min-width: 0 }
figure { margin: 1rem 0; overflow-x: auto }
figure.wide img { min-width: 34rem } img { max-width: 100%; height: auto }
ul { background: var(--ground); padding: .8rem 1rem .8rem 2rem; border-radius: .4rem;
  overflow-wrap: anywhere }
"""


def write(options: argparse.Namespace) -> None:
    """Write the page of a model and a table.

    Raises:
        UserError: if an argument is wrong.
        TableError: with all that is wrong with the model or the table.
    """
    out = check_out(options.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{out}: its name must end in .html")
    model = tables.load(options.model)
    table = read(options.table, options)
    found = tables.score(model, table, options.unseen)
    write_whole(out, page_of(model, found, table.source).encode())
    print(f"Saved as {out}.")


def page_of(model: tables.Model, found: tables.Score, source: str) -> str:
    """Return the page of a model, and its scores on a table, as HTML."""
    label = model.schema.decided
    title = (
        f"Logistic regression of {label.column!r}" if label else "Logistic regression"
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='soft'>Fitted to {model.rows} rows of {escape(model.source)}, of "
        f"which {model.positives} have the positive label.</p>",
        "<h2>Data, and what was done to them</h2>",
        _list(model.told),
        "<h2>Coefficients</h2>",
        *_coefficients(model),
        "<h2>Held-out rows</h2>",
        *_validation(model),
        f"<h2>Predictions of {escape(source)}</h2>",
        *_scores(found, same=source == model.source),
        "<h2>Made with</h2>",
        f"<p class='soft'>{escape(_versions(model))}</p>",
    ]
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _coefficients(model: tables.Model) -> Iterable[str]:
    told = model.summary()
    yield lines_as_html([*told.heading, penalty_text(model), *told.statistics])
    yield f"<div class='wide'>{table_as_html(told.rows())}</div>"
    yield lines_as_html(told.notes)
    figure = forest(model)
    if figure is not None:
        text = "Weights per standard deviation of a feature, with their intervals."
        yield _figure(figure, text, wide=True)


def _validation(model: tables.Model) -> Iterable[str]:
    validation, rows = model.validation, validation_rows(model)
    yield f"<p>{escape(validation_text(model))}</p>"
    if rows:
        yield f"<div class='wide'>{table_as_html([['score', 'value'], *rows])}</div>"
    yield lines_as_html(validation_remarks(model))
    if validation is not None and len(validation.l2) > 1:
        text = (
            "Held-out loss by penalty, a single curve with a band of its standard "
            "error; the disk is the choice."
        )
        yield _figure(path(model, validation), text, wide=True)


def _scores(found: tables.Score, same: bool) -> Iterable[str]:
    if same:
        yield "<p>The model has seen these rows, so these numbers are too good; those "
        yield "of held-out rows above are the test.</p>"
    yield f"<p>{escape(found.told)}</p>"
    tables_ = (found.rows(), found.counts())
    both = "".join(f"<div class='wide'>{table_as_html(rows)}</div>" for rows in tables_)
    yield f"<div class='pair'>{both}</div>"
    yield lines_as_html(found.remarks)
    figures = (
        (roc(found), "ROC curve."),
        (
            reliability(found),
            "Calibration: observed frequency by predicted probability.",
        ),
    )
    both = "".join(_figure(figure, text) for figure, text in figures)
    yield f"<div class='pair'>{both}</div>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _figure(figure: Figure, text: str, wide: bool = False) -> str:
    data = base64.b64encode(svg(figure)).decode()
    image = f"<img alt='{escape(text)}' src='data:image/svg+xml;base64,{data}'>"
    kind = " class='wide'" if wide else ""
    return f"<figure{kind}>{image}<figcaption>{escape(text)}</figcaption></figure>"


def _versions(model: tables.Model) -> str:
    return ", ".join(f"{name} {number}" for name, number in model.versions.items())
