"""The syntax tree to instructions, each tied to the one after it.

Owns: scopes (which slot of which call a name means) and the order of evaluation.
Threads: none. A block has names of its own; their slots belong to the call of the function.
"""

from __future__ import annotations

from functools import singledispatchmethod
from typing import TYPE_CHECKING

from examples.embedding import operations as op
from examples.embedding import syntax
from examples.embedding.errors import GuestSyntaxError, Place, Source
from examples.embedding.lexer import tokenize
from examples.embedding.operators import BINARY, UNARY
from examples.embedding.parser import parse
from examples.embedding.scopes import Scope
from examples.embedding.values import UNSET, Code, Instruction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from examples.embedding.lexer import Token
    from examples.embedding.values import Native, Operation

__all__ = ("compile_program",)


def compile_program(source: Source, natives: Mapping[str, Native]) -> Code:
    """Return the code of the main program.

    Args:
        source: The program.
        natives: What names mean that the program does not declare.

    Raises:
        GuestSyntaxError: it is no program, or uses an unknown name.
    """
    start = Place(source, 1, 1)
    try:
        main = _FunctionCompiler("the main program", natives, None)
        return main.compile([], parse(tokenize(source)), start)
    except RecursionError:
        raise GuestSyntaxError("the program is nested too deeply", start) from None


class _Label:
    """A place in the code that is still to come, or is known."""

    index = -1


class _Loop:
    def __init__(self, tries: int) -> None:
        self.start, self.end = _Label(), _Label()
        self.tries = tries  # how many try blocks were open around it


class _FunctionCompiler:
    """Compiles one function; *outer* is the scope around it."""

    def __init__(self, name: str, natives: Mapping[str, Native], outer: Scope | None) -> None:
        self._name = name
        self._natives = natives
        self._scope = Scope(outer)
        self._code: list[Instruction] = []
        self._loops: list[_Loop] = []
        self._tries = 0  # try blocks open here

    def compile(self, parameters: list[Token], body: syntax.Block, end: Place) -> Code:
        """Return the code of a function with *body*."""
        for token in parameters:
            if self._scope.knows(token.text):
                raise GuestSyntaxError(f"{token.text} is a parameter twice", token.place)
            self._scope.declare(token.text)
        self._statements(body)
        self._emit(op.constant, None, end)
        self._emit(op.return_, None, end)
        self._link()
        arity = len(parameters)
        unset = [UNSET] * (self._scope.count - arity)
        return Code(self._name, arity, unset, self._code[0])

    # ---- instructions ---------------------------------------------------------------------

    def _emit(self, run: Operation, operand: object, place: Place) -> None:
        place = Place(place.source, place.line, place.column, self._name)
        self._code.append(Instruction(run, operand, place))

    def _mark(self, label: _Label) -> None:
        label.index = len(self._code)

    def _link(self) -> None:
        """Tie every instruction to its successors; jumps vanish."""
        for index, instruction in enumerate(self._code[:-1]):
            instruction.next = self._target(index + 1)
            if isinstance(instruction.operand, _Label) and instruction.run is not op.jump:
                instruction.operand = self._target(instruction.operand.index)

    def _target(self, index: int) -> Instruction:
        while self._code[index].run is op.jump:
            index = self._code[index].operand.index
        return self._code[index]

    # ---- statements -----------------------------------------------------------------------

    def _block(self, statements: syntax.Block) -> None:
        self._scope.open_block()
        self._statements(statements)
        self._scope.close_block()

    def _statements(self, statements: syntax.Block) -> None:
        """Compile the functions first: they may call each other, and be called above."""
        lets = [one for one in statements if isinstance(one, syntax.Let)]
        for let in lets:
            self._scope.declare(let.name.text)
        functions = [let for let in lets if let.is_function]
        others = [one for one in statements if one not in functions]
        for statement in (*functions, *others):
            self._statement(statement)

    @singledispatchmethod
    def _statement(self, node: syntax.Statement) -> None:
        raise NotImplementedError(type(node))  # each kind of node registers a method below

    @_statement.register
    def _let(self, node: syntax.Let) -> None:
        self._expression(node.value)
        self._emit(op.store, self._scope.declare(node.name.text), node.name.place)

    @_statement.register
    def _assign(self, node: syntax.Assign) -> None:
        if isinstance(node.target, syntax.Index):
            self._expression(node.target.target)
            self._expression(node.target.index)
            self._expression(node.value)
            self._emit(op.set_item, None, node.target.at.place)
            return
        self._expression(node.value)
        token = node.target.at
        found = self._scope.find(token.text)
        if found is None:
            raise GuestSyntaxError(f"{token.text} is not declared: use let", token.place)
        depth, slot = found
        if depth:
            self._emit(op.store_outer, (depth, slot), token.place)
        else:
            self._emit(op.store, slot, token.place)

    @_statement.register
    def _if(self, node: syntax.If) -> None:
        otherwise, end = _Label(), _Label()
        self._expression(node.condition)
        self._emit(op.branch, otherwise, node.at.place)
        self._block(node.then)
        self._emit(op.jump, end, node.at.place)
        self._mark(otherwise)
        self._block(node.otherwise)
        self._mark(end)

    @_statement.register
    def _while(self, node: syntax.While) -> None:
        loop = _Loop(self._tries)
        self._mark(loop.start)
        self._expression(node.condition)
        self._emit(op.branch, loop.end, node.at.place)
        self._loops.append(loop)
        self._block(node.body)
        self._loops.pop()
        self._emit(op.jump, loop.start, node.at.place)
        self._mark(loop.end)

    @_statement.register
    def _jump(self, node: syntax.Jump) -> None:
        if not self._loops:
            raise GuestSyntaxError(f"{node.at.text} outside of a loop", node.at.place)
        loop = self._loops[-1]
        self._leave_tries(self._tries - loop.tries, node.at)
        target = loop.end if node.at.kind == "break" else loop.start
        self._emit(op.jump, target, node.at.place)

    @_statement.register
    def _return(self, node: syntax.Return) -> None:
        self._expression(node.value)
        self._leave_tries(self._tries, node.at)
        self._emit(op.return_, None, node.at.place)

    def _leave_tries(self, count: int, at: Token) -> None:
        for _ in range(count):
            self._emit(op.leave_try, None, at.place)

    @_statement.register
    def _throw(self, node: syntax.Throw) -> None:
        self._expression(node.value)
        self._emit(op.throw, None, node.at.place)

    @_statement.register
    def _try(self, node: syntax.Try) -> None:
        handler, end = _Label(), _Label()
        self._emit(op.enter_try, handler, node.at.place)
        self._tries += 1
        self._block(node.body)
        self._tries -= 1
        self._leave_tries(1, node.at)
        self._emit(op.jump, end, node.at.place)
        self._mark(handler)  # the fiber has pushed what was thrown
        self._scope.open_block()
        self._emit(op.store, self._scope.declare(node.name.text), node.name.place)
        self._statements(node.handler)
        self._scope.close_block()
        self._mark(end)

    @_statement.register
    def _expression_statement(self, node: syntax.ExpressionStatement) -> None:
        self._expression(node.value)
        self._emit(op.drop, None, node.at.place)

    # ---- expressions ----------------------------------------------------------------------

    @singledispatchmethod
    def _expression(self, node: syntax.Expression) -> None:
        """Emit code that leaves one value more on the stack."""
        raise NotImplementedError(type(node))  # each kind of node registers a method below

    @_expression.register
    def _literal(self, node: syntax.Literal) -> None:
        self._emit(op.constant, node.value, node.at.place)

    @_expression.register
    def _name_read(self, node: syntax.Name) -> None:
        name = node.at.text
        found = self._scope.find(name)
        if found is not None:
            depth, slot = found
            if depth:
                self._emit(op.load_outer, (depth, slot), node.at.place)
            else:
                self._emit(op.load, slot, node.at.place)
        elif name in self._natives:
            self._emit(op.constant, self._natives[name], node.at.place)
        else:
            raise GuestSyntaxError(f"unknown name: {name}", node.at.place)

    @_expression.register
    def _list(self, node: syntax.ListLiteral) -> None:
        for item in node.items:
            self._expression(item)
        self._emit(op.make_list, len(node.items), node.at.place)

    @_expression.register
    def _function(self, node: syntax.FunctionLiteral) -> None:
        inner = _FunctionCompiler(node.name, self._natives, self._scope)
        code = inner.compile(node.parameters, node.body, node.at.place)
        self._emit(op.make_function, code, node.at.place)

    @_expression.register
    def _unary(self, node: syntax.Unary) -> None:
        self._expression(node.operand)
        self._emit(UNARY[node.at.kind], None, node.at.place)

    @_expression.register
    def _binary(self, node: syntax.Binary) -> None:
        self._expression(node.left)
        self._expression(node.right)
        self._emit(BINARY[node.at.kind], None, node.at.place)

    @_expression.register
    def _logical(self, node: syntax.Logical) -> None:
        end = _Label()
        self._expression(node.left)
        self._emit(op.branch_and if node.at.kind == "and" else op.branch_or, end, node.at.place)
        self._expression(node.right)
        self._mark(end)

    @_expression.register
    def _index(self, node: syntax.Index) -> None:
        self._expression(node.target)
        self._expression(node.index)
        self._emit(op.get_item, None, node.at.place)

    def _callee_and_arguments(self, node: syntax.Call) -> None:
        self._expression(node.callee)
        for argument in node.arguments:
            self._expression(argument)

    @_expression.register
    def _call(self, node: syntax.Call) -> None:
        self._callee_and_arguments(node)
        self._emit(op.call, len(node.arguments), node.at.place)

    @_expression.register
    def _spawn(self, node: syntax.Spawn) -> None:
        self._callee_and_arguments(node.call)
        self._emit(op.spawn, len(node.call.arguments), node.at.place)

    @_expression.register
    def _await(self, node: syntax.Await) -> None:
        self._expression(node.operand)
        self._emit(op.wait, None, node.at.place)
