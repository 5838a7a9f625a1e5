"""The work for one module: parse it, count its nodes, measure its functions.

Threads: any; `survey_module` is what runs in the worker processes, one module at a time.
Invariant: the same file gives the same survey, in whichever process it is made.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = (
    "COMPLEX",
    "Function",
    "ModuleSurvey",
    "Totals",
    "add_up",
    "survey_module",
    "survey_source",
)

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPLEX: Final = 10  # McCabe's own limit: a function above it is hard to test


class Function(NamedTuple):
    """A function or a method, and its cyclomatic complexity."""

    line: int
    name: str
    complexity: int


@dataclass(frozen=True, slots=True)
class ModuleSurvey:
    """What is in one file; *problem* tells why it is no Python source, where it is none."""

    size: int
    kinds: Mapping[str, int]
    functions: tuple[Function, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """All modules together; *highest* is the most complex function, with its file."""

    files: int
    size: int
    problems: tuple[tuple[str, str], ...]
    kinds: Mapping[str, int]
    functions: int
    complexity: int
    complex_functions: int
    highest: tuple[str, Function] | None


def survey_module(folder: Path, name: str) -> ModuleSurvey:
    """Survey the file *name* below *folder*.

    Raises:
        OSError: it cannot be read.
    """
    return survey_source((folder / name).read_bytes())


def survey_source(source: bytes) -> ModuleSurvey:
    """Survey *source*; one that cannot be parsed has its problem told, and nothing counted."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the module's own style
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        return ModuleSurvey(len(source), {}, (), f"{type(error).__name__}: {words}")
    kinds: Counter[type[ast.AST]] = Counter({ast.Module: 1})
    functions: list[Function] = []
    scopes: list[ast.AST] = [tree]
    for scope in scopes:  # which grows meanwhile
        nodes = _list_nodes(scope)
        scopes += [node for node in nodes if isinstance(node, _FUNCTIONS)]
        kinds.update(map(type, nodes))
        if isinstance(scope, _FUNCTIONS):
            complexity = 1 + sum(_DECISIONS[type(n)](n) for n in nodes if type(n) in _DECISIONS)
            functions.append(Function(scope.lineno, scope.name, complexity))
    return ModuleSurvey(
        len(source),
        {kind.__name__: count for kind, count in kinds.items()},
        tuple(sorted(functions)),
    )


def add_up(surveys: Mapping[str, ModuleSurvey]) -> Totals:
    """Return the totals; the order in which the modules were surveyed does not matter."""
    kinds: Counter[str] = Counter()
    for survey in surveys.values():
        kinds.update(survey.kinds)
    functions = [
        (name, function) for name, survey in surveys.items() for function in survey.functions
    ]
    return Totals(
        files=len(surveys),
        size=sum(survey.size for survey in surveys.values()),
        problems=tuple(sorted((name, one.problem) for name, one in surveys.items() if one.problem)),
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        functions=len(functions),
        complexity=sum(function.complexity for _, function in functions),
        complex_functions=sum(function.complexity > COMPLEX for _, function in functions),
        highest=max(functions, key=lambda one: (one[1].complexity, *one), default=None),
    )


def _list_nodes(scope: ast.AST) -> list[ast.AST]:
    """Return all nodes below *scope*; of a function in it the node alone.

    By hand, since `ast.walk` takes three times as long, and knows no scopes.
    """
    nodes: list[ast.AST] = []
    node: ast.AST = scope
    unseen = iter(nodes)  # which grows meanwhile
    while True:
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                nodes += [child for child in value if isinstance(child, ast.AST)]
        for node in unseen:
            if not isinstance(node, _FUNCTIONS):
                break
        else:
            return nodes


def _count_case(case: ast.match_case) -> int:
    pattern = case.pattern
    takes_all = isinstance(pattern, ast.MatchAs) and pattern.pattern is None and case.guard is None
    return 0 if takes_all else 1


# How many ways out of the straight line a node adds. A lambda is a part of where it stands.
# Any: each function takes the nodes of its own kind.
_DECISIONS: Final[Mapping[type[ast.AST], Callable[[Any], int]]] = {
    ast.If: lambda _: 1,
    ast.IfExp: lambda _: 1,
    ast.For: lambda _: 1,
    ast.AsyncFor: lambda _: 1,
    ast.While: lambda _: 1,
    ast.ExceptHandler: lambda _: 1,
    ast.Assert: lambda _: 1,
    ast.BoolOp: lambda node: len(node.values) - 1,
    ast.comprehension: lambda node: 1 + len(node.ifs),
    ast.match_case: _count_case,
}
