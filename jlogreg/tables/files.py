"""Models as files of JSON, which hold nothing that is run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from jlogreg.tables.model import FORMAT, Model
from jlogreg.tables.reading.faults import Fault, TableError

__all__ = ["load", "save"]


def save(path: str | Path, model: Model) -> None:
    """Write a model as JSON, whole or not at all.

    Numbers are written with all their digits, so that a loaded model is the same.

    Raises:
        TableError: if the file cannot be written.

    Examples:
        >>> import numpy as np, pandas, pathlib, tempfile
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=60)
        >>> alive = dose > rng.logistic(size=60)
        >>> frame = pandas.DataFrame({"dose": dose, "alive": alive})
        >>> model = tables.fit(tables.read(frame), tables.Schema("alive"), folds=0)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.json")
        >>> tables.save(path, model)
        >>> tables.load(path) == model
        True
    """
    path = Path(path)
    content = msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"
    temporary = path.with_name(f".writing-{path.name}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TableError(str(path), [Fault(error.strerror or str(error))]) from error


def load(path: str | Path) -> Model:
    """Return the model of a file that `save` has written.

    Nothing in the file is run: a formula may only name columns and a few functions.

    Raises:
        TableError: if it is no such file, cut short, or of another form.

    Examples:
        >>> import numpy as np, pandas, pathlib, tempfile
        >>> from jlogreg import tables
        >>> rng = np.random.default_rng(0)
        >>> dose = rng.normal(size=60)
        >>> alive = dose > rng.logistic(size=60)
        >>> frame = pandas.DataFrame({"dose": dose, "alive": alive})
        >>> model = tables.fit(tables.read(frame), tables.Schema("alive"), folds=0)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.json")
        >>> tables.save(path, model)
        >>> tables.load(path) == model
        True
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise TableError(str(path), [Fault(what)]) from error

    def refuse(what: str, cure: str) -> TableError:
        return TableError(str(path), [Fault(what, cure=cure)])

    again = "fit the model anew"
    try:
        form = msgspec.json.decode(content)["format"]
        if form != FORMAT:
            version = f"has the form {form!r} of another version of jlogreg"
            raise refuse(f"{version}, not {FORMAT}", again)
        model = msgspec.json.decode(content, type=Model)
    except TableError:
        raise
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError) as error:
        what = f"is no model, or was cut short: {error}"
        raise refuse(what, again) from error
    if len(model.names) != len(model.w) or model.schema.decided is None:
        raise refuse("is no whole model: names and weights do not match", again)
    return model
