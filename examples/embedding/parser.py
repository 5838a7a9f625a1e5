"""Tokens to a syntax tree: recursive descent, with precedence climbing for operators.

Owns: the grammar. Threads: none. A newline ends a statement, except inside of ``( )`` and ``[ ]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from examples.embedding import syntax
from examples.embedding.errors import GuestSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.embedding.lexer import Token

__all__ = ("parse",)

_POWER: Final = {
    "or": 1, "and": 2,
    "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4,
    "+": 5, "-": 5, "*": 6, "/": 6, "%": 6,
}  # fmt: skip
_NOT_POWER: Final = 3  # ``not a == b`` is ``not (a == b)``
_CONSTANTS: Final = {"true": True, "false": False, "none": None}


def parse(tokens: list[Token]) -> syntax.Block:
    """Return the statements of a program.

    Raises:
        GuestSyntaxError: the tokens make no program.
    """
    parser = _Parser(tokens)
    statements: syntax.Block = []
    while parser.token.kind != "end":
        statements.append(parser.statement())
    return statements


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._brackets = 0  # open ( and [ around here: newlines mean nothing inside
        self._statements: dict[str, Callable[[Token], syntax.Statement]] = {
            "let": self._let,
            "fn": self._function_statement,
            "if": self._if,
            "while": self._while,
            "break": syntax.Jump,
            "continue": syntax.Jump,
            "return": self._return,
            "throw": lambda at: syntax.Throw(at, self._expression()),
            "try": self._try,
        }

    # ---- tokens ---------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        """The next token."""
        return self._tokens[self._index]

    def _take(self, kind: str | None = None) -> Token:
        token = self.token
        if kind is not None and token.kind != kind:
            raise self._unexpected(f"expected {kind!r}")
        self._index += 1
        return token

    def _taken(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self._index += 1
        return True

    def _unexpected(self, wanted: str) -> GuestSyntaxError:
        token = self.token
        found = "the end of the program" if token.kind == "end" else repr(token.text)
        return GuestSyntaxError(f"{wanted}, found {found}", token.place)

    def _line_goes_on(self) -> bool:
        return self._brackets > 0 or not self.token.first

    # ---- statements -----------------------------------------------------------------------

    def statement(self) -> syntax.Statement:
        """Parse one statement and its end."""
        kind = self.token.kind
        named_function = kind == "fn" and self._tokens[self._index + 1].kind == "name"
        if kind in self._statements and (kind != "fn" or named_function):
            statement = self._statements[kind](self._take())
        else:
            statement = self._expression_or_assignment()
        ended = self._taken(";") or self.token.first or self.token.kind == "}"
        if not ended and self._tokens[self._index - 1].kind != "}":
            raise self._unexpected("expected the end of the statement")
        return statement

    def _block(self) -> syntax.Block:
        brackets, self._brackets = self._brackets, 0
        self._take("{")
        statements: syntax.Block = []
        while not self._taken("}"):
            if self.token.kind == "end":
                raise self._unexpected("expected '}'")
            statements.append(self.statement())
        self._brackets = brackets
        return statements

    def _let(self, _at: Token) -> syntax.Let:
        name = self._take("name")
        self._take("=")
        return syntax.Let(name, self._expression())

    def _function_statement(self, at: Token) -> syntax.Let:
        name = self._take("name")
        return syntax.Let(name, self._function(at, name.text))

    def _if(self, at: Token) -> syntax.If:
        condition, then = self._expression(), self._block()
        otherwise: syntax.Block = []
        if self._taken("else"):
            otherwise = [self._if(self._take())] if self.token.kind == "if" else self._block()
        return syntax.If(at, condition, then, otherwise)

    def _while(self, at: Token) -> syntax.While:
        return syntax.While(at, self._expression(), self._block())

    def _return(self, at: Token) -> syntax.Return:
        if self.token.first or self.token.kind in (";", "}"):
            return syntax.Return(at, syntax.Literal(at, None))
        return syntax.Return(at, self._expression())

    def _try(self, at: Token) -> syntax.Try:
        body = self._block()
        self._take("catch")
        return syntax.Try(at, body, self._take("name"), self._block())

    def _expression_or_assignment(self) -> syntax.Statement:
        value = self._expression()
        if self.token.kind != "=":
            return syntax.ExpressionStatement(self.token, value)
        at = self._take()
        if not isinstance(value, (syntax.Name, syntax.Index)):
            raise GuestSyntaxError("only a name or an element can be assigned to", at.place)
        return syntax.Assign(at, value, self._expression())

    # ---- expressions ----------------------------------------------------------------------

    def _expression(self, power: int = 0) -> syntax.Expression:
        """Parse operators that bind tighter than *power*."""
        if self.token.kind == "not":
            left: syntax.Expression = syntax.Unary(self._take(), self._expression(_NOT_POWER))
        else:
            left = self._prefix()
        while self._line_goes_on():
            operator_power = _POWER.get(self.token.kind, 0)
            if operator_power <= power:
                break
            at = self._take()
            node = syntax.Logical if at.kind in ("and", "or") else syntax.Binary
            left = node(at, left, self._expression(operator_power))
        return left

    def _prefix(self) -> syntax.Expression:
        kind = self.token.kind
        if kind == "-":
            result: syntax.Expression = syntax.Unary(self._take(), self._prefix())
        elif kind == "await":
            result = syntax.Await(self._take(), self._prefix())
        elif kind == "spawn":
            at, call = self._take(), self._postfix()
            if not isinstance(call, syntax.Call):
                raise GuestSyntaxError("spawn needs a call: spawn f(...)", at.place)
            result = syntax.Spawn(at, call)
        else:
            result = self._postfix()
        return result

    def _postfix(self) -> syntax.Expression:
        value = self._primary()
        while self._line_goes_on():
            if self.token.kind == "(":
                value = syntax.Call(self.token, value, self._list("(", ")"))
            elif self.token.kind == "[":
                at = self._take()
                self._brackets += 1
                value = syntax.Index(at, value, self._expression())
                self._brackets -= 1
                self._take("]")
            else:
                break
        return value

    def _primary(self) -> syntax.Expression:  # noqa: PLR0911 - one for each kind
        at = self.token
        match at.kind:
            case "number":
                return syntax.Literal(at, _number(self._take()))
            case "string":
                return syntax.Literal(at, self._take().text)
            case "true" | "false" | "none":
                return syntax.Literal(at, _CONSTANTS[self._take().kind])
            case "name":
                return syntax.Name(self._take())
            case "[":
                return syntax.ListLiteral(at, self._list("[", "]"))
            case "fn":
                return self._function(self._take(), "fn")
            case "(":
                return self._grouped()
            case _:
                raise self._unexpected("expected an expression")

    def _grouped(self) -> syntax.Expression:
        self._take("(")
        self._brackets += 1
        value = self._expression()
        self._brackets -= 1
        self._take(")")
        return value

    def _list(self, opening: str, closing: str) -> list[syntax.Expression]:
        """Parse expressions between brackets, with commas; one more comma may end it."""
        self._take(opening)
        self._brackets += 1
        items: list[syntax.Expression] = []
        while self.token.kind != closing:
            items.append(self._expression())
            if not self._taken(","):
                break
        self._brackets -= 1
        self._take(closing)
        return items

    def _function(self, at: Token, name: str) -> syntax.FunctionLiteral:
        self._take("(")
        parameters: list[Token] = []
        while self.token.kind != ")":
            parameters.append(self._take("name"))
            if not self._taken(","):
                break
        self._take(")")
        return syntax.FunctionLiteral(at, name, parameters, self._block())


def _number(token: Token) -> float:
    try:
        return float(token.text) if "." in token.text else int(token.text)
    except ValueError:  # Python reads only so many digits
        raise GuestSyntaxError("this number is too long", token.place) from None
