"""Read configurations: a TOML file and overrides; a mistake is one clear line."""

from __future__ import annotations

import inspect
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

import msgspec

from experiments.errors import UserError
from experiments.storage.regular import read_file

CONFIGS = Path(__file__).parent / "configs"
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
WholeNumber = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Config = TypeVar("Config", bound=msgspec.Struct)
# The range of float32, in which the experiments compute.
SMALLEST, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """Settings by name; an unknown key is an error."""


def read_table(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of a TOML file, overridden by `--section.key value` pairs.

    Raises:
        UserError: if the file cannot be read or parsed, or an override has no value.
    """
    try:
        text = read_file(path).decode("utf-8")
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        table = tomllib.loads(text)
    except UserError as error:
        hint = "see `python -m experiments list` for those that come with the project"
        raise UserError(f"{error}; {hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text: {error.reason}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not TOML: {error}") from error
    for keys, value in _pairs(overrides):
        section = table
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise UserError(f"--{'.'.join(keys)}: {key} is not a section")
        section[keys[-1]] = value
    return table


def convert(table: dict[str, Any], kind: type[Config], name: str) -> Config:
    """Return the table as a configuration of this kind.

    Raises:
        UserError: if a key is unknown or missing, a type is wrong, a number is out of
            range, NaN or infinite.
    """
    try:
        numbers = list(_numbers(table))
    except RecursionError as error:
        raise UserError(f"{name}: is nested too deeply") from error
    for key, value in numbers:
        if not math.isfinite(value):
            raise UserError(f"{name}: {key} must be a finite number, but is {value}")
        if value and not SMALLEST <= abs(value) <= LARGEST:
            raise UserError(f"{name}: {key}: {value:g} does not fit float32")
    try:
        return msgspec.convert(_with_lists(table, kind), kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        where = place.strip("`").removeprefix("$").removeprefix(".")
        hint = _hint(message, kind)
        raise UserError(
            f"{name}: {where + ': ' if where else ''}{message}{hint}"
        ) from error


def _with_lists(table: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Return the table with lists where a list is due and words with commas are."""
    found = dict(table)
    for field in msgspec.structs.fields(kind):
        name, value = field.encode_name, table.get(field.encode_name)
        inner = msgspec.inspect.type_info(field.type)
        lists = msgspec.inspect.ListType | msgspec.inspect.VarTupleType
        if isinstance(inner, msgspec.inspect.StructType) and isinstance(value, dict):
            found[name] = _with_lists(value, inner.cls)
        elif isinstance(inner, lists) and isinstance(value, str) and value:
            found[name] = [_value(part.strip()) for part in value.split(",")]
    return found


def _hint(message: str, kind: Any) -> str:
    """Return a question for the known setting nearest to one that is unknown."""
    # Here, since other mistakes, and lists, need no JAX.
    from jlogreg.base.formatting import nearest

    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    return nearest(unknown[1], sorted(_settings(kind))) if unknown else ""


def _settings(kind: Any) -> set[str]:
    """Return the names of all settings of a configuration and of its sections."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {name for part in get_args(kind) for name in _settings(part)}
    fields = msgspec.structs.fields(kind)
    inner = (_settings(field.type) for field in fields)
    return {field.encode_name for field in fields}.union(*inner)


class Setting(NamedTuple):
    """A setting: its name, its value here, its type and default, its meaning."""

    name: str
    value: str
    kind: str
    meaning: str


def settings_of(
    kind: type[msgspec.Struct], table: dict[str, Any], above: str = ""
) -> Iterator[Setting]:
    """Return the settings of a configuration and of its sections, one by one.

    A meaning is that among the attributes of the section's documentation.
    """
    meanings = _meanings(kind)
    for field in msgspec.structs.fields(kind):
        name, inner = f"{above}{field.encode_name}", field.type
        given = table.get(field.encode_name)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            section = given if isinstance(given, dict) else {}
            yield from settings_of(inner, section, f"{name}.")
        elif name != "program":
            default = "" if field.required else f", by default {_text(field.default)}"
            value = field.default if given is None else given
            shown = "" if value is msgspec.NODEFAULT else _text(value)
            words = _type_words(msgspec.inspect.type_info(inner)) + default
            yield Setting(name, shown, words, meanings.get(field.name, ""))


def _meanings(kind: type) -> dict[str, str]:
    """Return what the documentation of a section says of its attributes."""
    _, _, lines = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", lines, re.M)
    return {name: " ".join(text.split()) for name, text in found}


def _text(value: Any) -> str:
    """Return a value as a file of TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type_words(kind: Any) -> str:
    """Return a type in words, with the range of its numbers."""
    info = msgspec.inspect
    match kind:
        case info.LiteralType():
            return " or ".join(_text(value) for value in kind.values)
        case info.IntType() | info.FloatType():
            whole = isinstance(kind, info.IntType)
            words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
            limits = [
                f"{word} {getattr(kind, limit)}"
                for limit, word in words.items()
                if getattr(kind, limit) is not None
            ]
            return " ".join(
                ["a whole number" if whole else "a number", " and ".join(limits)]
            ).strip()
        case info.BoolType():
            return "true or false"
        case info.TupleType():
            return f"a list of {len(kind.item_types)}, each " + _type_words(
                kind.item_types[0]
            )
        case info.ListType() | info.VarTupleType():
            return "a list, each " + _type_words(kind.item_type)
    return "a text"


def describe(path: Path) -> str:
    """Return the comment that a configuration begins with: what it is for."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _pairs(overrides: Sequence[str]) -> Iterator[tuple[list[str], Any]]:
    words = iter(overrides)
    for word in words:
        option, equals, text = word.partition("=")
        if not re.fullmatch(r"--[\w-]+(\.[\w-]+)*", option):
            raise UserError(f"{word}: overrides are written --section.key value")
        if not equals:
            try:
                text = next(words)
            except StopIteration:
                raise UserError(f"{word}: the value is missing") from None
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{option}: {text} is not UTF-8 text")
        yield option[2:].split("."), _value(text)


def _value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if set(table) == {"value"} else text


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield key, math.inf if value > 0 else -math.inf
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{key}[{index}]")
