"""The arguments of the command line."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["parser_of"]

DESCRIPTION = """\
Logistic regression of a table: a CSV or Parquet file with a row per sample.

    jlogreg fit patients.csv --label outcome --positive case --out model.json
    jlogreg show model.json
    jlogreg score model.json others.csv
    jlogreg predict model.json new.csv --out predictions.csv
    jlogreg report model.json patients.csv --out report.html
"""
ENDING = """\
Exit codes: 0 done, 1 the fit has no answer, 2 a mistake in the arguments or a file, 130
interrupted. With 1 and 2 nothing is written.
"""


class _Once(argparse.Action):
    """An option that is given once: of two words the last would count, unseen."""

    given: str | None = None

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Keep the value.

        Raises:
            ArgumentError: if there is one.
        """
        if self.given is not None:
            what = f"is given twice, as {self.given!r} and as {str(values)!r}"
            raise argparse.ArgumentError(self, what)
        self.given = str(values)
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser whose options are given once, unless they say otherwise."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take each option that names no action once."""
        super().__init__(*arguments, **options)
        self.register("action", None, _Once)


def parser_of() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="jlogreg",
        description=DESCRIPTION,
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_fit(commands)
    for name, text in (
        ("predict", "the probability of the positive label for each row of a table"),
        ("score", "how well a model predicts the labels of a table"),
        ("report", "a page on a model and a table, one file of HTML"),
    ):
        command = commands.add_parser(
            name, help=text, description=text, allow_abbrev=False
        )
        command.add_argument("model", metavar="MODEL", help="a file of `fit`")
        command.add_argument("table", metavar="TABLE", help="a CSV or Parquet file")
        _add_reading(command)
        command.add_argument(
            "--unseen",
            choices=("refuse", "missing"),
            default="refuse",
            help="a word that the model has not seen is an error, or a missing cell "
            "(default: %(default)s)",
        )
        _add_own(name, command)
    show = commands.add_parser(
        "show", help="the coefficients of a model", allow_abbrev=False
    )
    show.add_argument("model", metavar="MODEL", help="a file of `fit`")
    _add_json(show)
    return parser


def _add_own(name: str, command: argparse.ArgumentParser) -> None:
    """Add what only this command has."""
    if name == "predict":
        command.add_argument(
            "--out", metavar="FILE", help="a CSV file, else the screen"
        )
        command.add_argument(
            "--keep",
            action="append",
            default=[],
            metavar="NAME",
            help="a column of the table to write beside the probability",
        )
    if name == "score":
        command.add_argument(
            "--pictures",
            metavar="FOLDER",
            help="write roc.svg and reliability.svg into it, made if it is not there",
        )
    if name == "report":
        command.add_argument("--out", metavar="FILE.html", required=True)
    else:
        _add_json(command)


# Over 40 lines: a list of arguments.
def _add_fit(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "fit a model to a table, validate it on held-out rows, and save it"
    fit = commands.add_parser("fit", help=text, description=text, allow_abbrev=False)
    fit.add_argument("table", metavar="TABLE", help="a CSV or Parquet file")
    fit.add_argument(
        "--label", default="", metavar="NAME", help="the column to predict"
    )
    fit.add_argument("--positive", metavar="WORD", help="the label that is 1")
    fit.add_argument(
        "--negative",
        metavar="WORD",
        help="the label that is 0; rows with others are left out",
    )
    fit.add_argument(
        "--formula",
        default="",
        metavar="'LABEL ~ A + B'",
        help="as in R; else all columns",
    )
    fit.add_argument(
        "--out", required=True, metavar="MODEL", help="a file for the model"
    )
    fit.add_argument(
        "--penalty",
        default="none",
        metavar="none|cv|l2=...,l1=...",
        help="of the standardised features, a number or cv, which chooses by "
        "cross-validation: l2=0.1, l1=cv or l1=cv,l2=cv; cv alone is l2=cv "
        "(default: %(default)s)",
    )
    fit.add_argument(
        "--firth",
        action="store_true",
        help="Firth's estimate, finite where a plane separates the labels, with "
        "profile intervals",
    )
    for name, default, help_ in (
        ("folds", 5, "of the validation; 0 for none"),
        ("seed", 0, "deals the rows to the folds"),
        ("level", 0.95, "of the intervals"),
    ):
        help_ += " (default: %(default)s)"
        fit.add_argument(f"--{name}", type=type(default), default=default, help=help_)
    columns = fit.add_argument_group(
        "columns",
        "What a column becomes, where it is not found or not meant; those of the first "
        "four may be repeated.",
    )
    for name, metavar, help_ in (
        ("category", "NAME[=BASE]", "words, compared with a base"),
        ("number", "NAME[=UNIT]", "numbers"),
        ("date", "NAME[=FORMAT]", "dates, such as visit=%%d.%%m.%%Y"),
        ("leave-out", "NAME", "no feature"),
    ):
        columns.add_argument(
            f"--{name}", action="append", default=[], metavar=metavar, help=help_
        )
    for name, help_ in (
        ("weight", "numbers that say how much a row counts"),
        ("offset", "numbers that are added to the logit"),
        ("clusters", "rows that belong together: the errors are robust against it"),
    ):
        columns.add_argument(f"--{name}", default="", metavar="NAME", help=help_)
    columns.add_argument(
        "--weights",
        choices=("frequency", "probability"),
        default="",
        help="what a weight is: how many samples a row is, or the inverse of the "
        "probability of being sampled, for which the errors are robust",
    )
    columns.add_argument(
        "--missing",
        choices=("leave-out", "indicator"),
        default="leave-out",
        help="leave rows with missing cells out, or mark them by a feature "
        "(default: %(default)s)",
    )
    _add_reading(fit)
    _add_json(fit)


def _add_reading(command: argparse.ArgumentParser) -> None:
    reading = command.add_argument_group(
        "reading", "How a CSV file is written; what is not given is found and told."
    )
    reading.add_argument("--encoding", metavar="NAME", help="such as latin-1")
    reading.add_argument("--delimiter", metavar="SIGN", help="such as ';' or tab")
    reading.add_argument(
        "--decimal",
        choices=(".", ","),
        metavar="MARK",
        help="the decimal mark, a point or a comma: . or ,",
    )
    reading.add_argument(
        "--missing-word",
        action="append",
        default=[],
        metavar="WORD",
        help="a word for a missing cell, beside NA, N/A, n/a, #N/A, NaN, nan, NULL, "
        "null, ? and a point; repeatable",
    )
    reading.add_argument(
        "--present-word",
        action="append",
        default=[],
        metavar="WORD",
        help="one of these that is none, such as NA for Namibia; repeatable",
    )


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="print one object of JSON and nothing else"
    )
