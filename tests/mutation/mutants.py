"""Make mutants: a module's text with one small fault planted, for each place of it.

What is planted: another operator (+ - * / // ** % & | ^ << >>), comparison (its bound
moved, and turned round) or connective; not, ~ and - dropped; a condition turned round,
that of `where` too; n + 1 for n, 2 x for x, False for True, other text; None returned;
a bound of a slice, a keyword argument, `.T`, a root or absolute value dropped; minimum
for maximum, zeros for ones and the like; a statement left out (a call, a second
assignment, raise, continue).

What is left alone, as there is nothing in it that a test should notice: docstrings,
annotations, imports, `__all__`, decorators, type variables, assert and `strict=True`
(checks of the program by itself), and the words of errors.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
}
COMPARISONS = {
    ast.Lt: ("<", "<=", ">="),
    ast.LtE: ("<=", "<", ">"),
    ast.Gt: (">", ">=", "<="),
    ast.GtE: (">=", ">", "<"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
PAIRS = [
    *(("minimum", "maximum"), ("min", "max"), ("any", "all"), ("zeros", "ones")),
    ("zeros_like", "ones_like"),
]
OTHER = {**dict(PAIRS), **{second: first for first, second in PAIRS}}
DROPPED = {"abs", "reversed", "sorted", "sqrt", "square", "stop_gradient"}


class Mutant(NamedTuple):
    """Hold a planted fault: source[start:end], of bytes, becomes text.

    lines are those of statements of which a test must execute one to notice it; none,
    that importing the module is enough. before and after are what a report says.
    """

    module: str
    function: str
    start: int
    end: int
    text: str
    before: str
    after: str
    lines: list[int]

    def planted(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(module: str, source: bytes) -> list[Mutant]:
    """Return the mutants of a module, in the order of their places, each once."""
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    once = {(m.start, m.end, m.text): m for m in finder.found}
    return [once[key] for key in sorted(once) if _compiles(once[key].planted(source))]


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str, source: bytes) -> None:
        self.module, self.source = module, source
        self.found: list[Mutant] = []
        self.names: list[str] = []  # of the classes and functions around
        self.known: list[set[str]] = []  # what each function around has assigned
        self.lines: list[int] = []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    # Where things are.

    def start(self, node: Any) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: Any) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.AST) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    # What is planted.

    def plant(self, start: int, end: int, text: str) -> None:
        first = self.source.rfind(b"\n", 0, start) + 1
        last = self.source.find(b"\n", end)
        head, tail = self.source[first:start].decode(), self.source[end:last].decode()
        lines = head + self.source[start:end].decode() + tail, head + text + tail
        before, after = (" ".join(line.split()) for line in lines)
        where = self.module, ".".join(self.names)
        self.found.append(Mutant(*where, start, end, text, before, after, self.lines))

    def replace(self, node: ast.AST, text: str) -> None:
        self.plant(self.start(node), self.end(node), text)

    def between(self, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """Replace the operator between two operands."""
        start, end = self.end(left), self.start(right)
        pattern = r"\s+".join(map(re.escape, old.split()))
        match = re.search(pattern, self.source[start:end].decode())
        self.plant(start + match.start(), start + match.end(), new)

    def turn(self, test: ast.expr) -> None:
        """Turn a condition round, unless another mutant does so."""
        if not isinstance(test, ast.UnaryOp | ast.Constant | ast.Compare):
            self.replace(test, f"(not ({self.text(test)}))")

    # Where it is planted.

    def visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not _is_docstring(statement):
                self.lines = [statement.lineno] if self.known else []
                self.visit(statement)

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            stored = [part.id for part in ast.walk(statement) if _is_stored(part)]
            if "__all__" not in stored and not _is_docstring(statement):
                # A constant is noticed where it is used.
                self.lines = [line for line, name in uses(node) if name in stored]
                self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        self.visit_body(node.body)
        self.names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.append(node.name)
        body = [part for part in node.body if not _is_docstring(part)]
        self.lines = [part.lineno for part in body[:1]]
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        given = [*node.args.args, *node.args.kwonlyargs]
        self.known.append({argument.arg for argument in given})
        self.visit_body(body)
        self.known.pop()
        self.names.pop()

    def visit_If(self, node: ast.If) -> None:
        if _name(node.test) != "TYPE_CHECKING":
            self.turn(node.test)
            self.visit(node.test)
            self.visit_body([*node.body, *node.orelse])

    def visit_While(self, node: ast.While) -> None:
        self.turn(node.test)
        self.visit(node.test)
        self.visit_body(node.body)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit_body(node.body)

    def visit_Try(self, node: ast.Try) -> None:
        handled = [part for handler in node.handlers for part in handler.body]
        self.visit_body([*node.body, *handled])

    # Statements.

    def visit_Import(self, node: ast.AST) -> None:
        pass

    visit_ImportFrom = visit_Assert = visit_Import

    def leave_out(self, node: ast.AST) -> None:
        self.replace(node, "pass")

    visit_Raise = visit_Continue = leave_out

    def visit_Expr(self, node: ast.Expr) -> None:
        self.leave_out(node)
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.leave_out(node)
        self.between(node.target, node.value, *ARITHMETIC[type(node.op)])
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Call) and _name(node.value.func) == "TypeVar":
            return
        if self.known:
            names = {part.id for part in ast.walk(node) if _is_stored(part)}
            # A name that has no other value would be missed at once.
            if names <= self.known[-1]:
                self.leave_out(node)
            self.known[-1] |= names
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and _name(node.annotation) != "TypeAlias":
            self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            if not isinstance(node.value, ast.Constant):
                self.replace(node.value, "None")
            self.visit(node.value)

    # Expressions.

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.between(node.left, node.right, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, kind, right in zip(operands, node.ops, operands[1:], strict=False):
            old, *others = COMPARISONS[type(kind)]
            for new in others:
                self.between(left, right, old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        both = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, *both)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.replace(node, self.text(node.operand))
        self.visit(node.operand)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.turn(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.turn(test)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.replace(node, str(not value))
        elif isinstance(value, int):
            self.replace(node, str(value + 1))
        elif isinstance(value, float):
            self.replace(node, repr(2 * value or 1.0))
        elif isinstance(value, str):
            self.replace(node, repr("?" + value[1:]))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.replace(node, '""')  # what it holds has no known place in Python 3.11

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in filter(None, (node.lower, node.upper)):
            self.replace(bound, "")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == "T":
            self.replace(node, self.text(node.value))
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in OTHER:
            end = self.end(node.func)
            self.plant(end - len(name), end, OTHER[name])
        if name == "where" and not isinstance(node.args[0], ast.UnaryOp | ast.Compare):
            self.replace(node.args[0], f"~({self.text(node.args[0])})")
        if name in DROPPED and node.args:
            self.replace(node, self.text(node.args[0]))
        self.visit(node.func)
        for argument in node.args[: 1 if name == "isinstance" else None]:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg != "strict":
                # A class must be given what it holds.
                if keyword.arg and not name.lstrip("_")[:1].isupper():
                    self.drop(node, keyword)
                self.visit(keyword.value)

    def drop(self, call: ast.Call, keyword: ast.keyword) -> None:
        rest = self.source[self.end(keyword) : self.end(call)].decode()
        comma = re.match(r"\s*,\s*", rest)
        end = self.end(keyword) + (len(comma.group()) if comma else 0)
        self.plant(self.start(keyword), end, "")


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return the lines of statements in functions, with the names they use."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for part in ast.walk(function):
            if isinstance(part, ast.stmt) and part is not function:
                for child in ast.iter_child_nodes(part):
                    if not isinstance(child, ast.stmt):
                        for node in ast.walk(child):
                            if isinstance(node, ast.Name):
                                yield part.lineno, node.id


class _Reporting(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self.module = module

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        for part in list(ast.walk(node)):
            for field in ("body", "orelse"):
                body = getattr(part, field, None)
                if isinstance(body, list):
                    setattr(
                        part, field, [new for old in body for new in self.both(old)]
                    )
        return node

    def both(self, statement: ast.stmt) -> list[ast.stmt]:
        if _is_docstring(statement):
            return [statement]
        (call,) = ast.parse(f"__hit__({self.module!r}, {statement.lineno})").body
        return [ast.copy_location(call, statement), statement]


def reporting(module: str, source: bytes) -> ast.Module:
    """Return a module of which each statement in a function reports its line first."""
    return ast.fix_missing_locations(_Reporting(module).visit(ast.parse(source)))
