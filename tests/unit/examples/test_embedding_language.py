"""The toy language itself: what programs mean, and where mistakes are found."""

from __future__ import annotations

import pytest

from examples.embedding import GuestError, GuestSyntaxError, Host, Source

MUTUAL = """
    fn even(n) { return n == 0 or odd(n - 1) }
    fn odd(n) { return n != 0 and even(n - 1) }
    print(even(10), odd(10))
"""


def run(program: str) -> str:
    """Run *program*; return what it printed."""
    written: list[str] = []
    with Host(write=written.append) as host:
        host.run(Source("test.toy", program))
    return "".join(written)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", "5.0"),
        ("(1 + 2) * -3 % 5", "1"),
        ("10 - 3 - 2", "5"),
        ("not 1 == 2 and 3 > 2", "true"),
        ("false or 7", "7"),
        ("none and missing()", "none"),
        ('"a" + "b" < "b"', "true"),
        ('[1, "x", [true], none]', '[1, "x", [true], none]'),
        ("[1] + [2] == [1, 2]", "true"),
        ('"text"[1]', "e"),
        ("(fn (x) { return x * x })(7)", "49"),
        ("len([1, 2, 3]) + floor(2.9)", "5"),
        (r'"tab\t\"quoted\""', 'tab\t"quoted"'),
        ("await spawn text(12)", "12"),
        ("fn (x) { }(1)", "none"),
    ],
)
def test_an_expression_has_this_value(expression: str, value: str) -> None:
    """Precedence and the rules of each operator."""
    program = f"fn missing() {{ }}\n print({expression})"

    assert run(program) == f"{value}\n"


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("let x = 1\n if true { let x = 2; print(x) }\n print(x)", "2\n1\n"),
        ("print(twice(4))\n fn twice(n) { return 2 * n }", "8\n"),
        ("let n = 0\n while true { n = n + 1; if n == 3 { break } }\n print(n)", "3\n"),
        ("fn f() { try { return 1 } catch e { } }\n f(); try { 1 / 0 } catch e { print(e) }",
         "division by zero\n"),
        ("let n = 0\n while n < 3 { n = n + 1; try { continue } catch e { } }\n print(n)", "3\n"),
        ("try { try { throw 1 } catch e { throw e + 1 } } catch e { print(e) }", "2\n"),
        (MUTUAL, "true false\n"),
        ("let a = [1]\n push(a, a)\n a[0] = 2\n print(len(a), a[1][0])", "2 2\n"),
        ("let x = 1 # + 1\n # only a comment\n print(x)", "1\n"),
        ("let x = (1\n + 1)\n print(\n x,\n )", "2\n"),
        ("let x = 5\n -3\n print(x)", "5\n"),
    ],
)  # fmt: skip
def test_a_program_prints_this(program: str, printed: str) -> None:
    """Scopes, functions before their place, loops left through a try, lines."""
    assert run(program) == printed


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("let x = 1 +", "test.toy:1:12: expected an expression, found the end of the program"),
        ("let x = @", "test.toy:1:9: unknown sign: '@'"),
        ('\n  print("open', "test.toy:2:9: this string has no end"),
        ('"\\q"', "test.toy:1:1: unknown escape: \\q"),
        ("print(missing)", "test.toy:1:7: unknown name: missing"),
        ("missing = 1", "test.toy:1:1: missing is not declared: use let"),
        ("1 = 2", "test.toy:1:3: only a name or an element can be assigned to"),
        ("break", "test.toy:1:1: break outside of a loop"),
        ("while true { fn f() { continue } }", "test.toy:1:23: continue outside of a loop"),
        ("fn f(a, a) { }", "test.toy:1:9: a is a parameter twice"),
        ("spawn 1", "test.toy:1:1: spawn needs a call: spawn f(...)"),
        ("print(1) print(2)", "test.toy:1:10: expected the end of the statement, found 'print'"),
        ("if true { print(1)", "test.toy:1:19: expected '}', found the end of the program"),
        ("(" * 5000, "test.toy:1:1: the program is nested too deeply"),
        ("let x = " + "9" * 5000, "test.toy:1:9: this number is too long"),
    ],
)
def test_a_mistake_is_found_before_the_program_runs(program: str, message: str) -> None:
    """The place is that of the sign where the parser could not go on."""
    with pytest.raises(GuestSyntaxError) as caught:
        run(program)

    assert str(caught.value).startswith(message)
    assert caught.value.report().endswith("^")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ('1 + "x"', "1:3: error: cannot use + on a number and a string"),
        ("true + 1", "1:6: error: cannot use + on a boolean and a number"),
        ('"%s" % 1', "1:6: error: cannot use % on a string and a number"),
        ("-[]", "1:1: error: cannot use - on a list"),
        ("let a = 1 % 0", "1:11: error: division by zero"),
        ("let x = y\n let y = 1", "1:9: error: this variable is used before its let"),
        ("let f = 3\n f(1)", "2:3: error: cannot call a number"),
        ("fn f(a) { }\n f()", "2:3: error: f takes 1 argument(s), got 0"),
        ("len()", "1:4: error: len takes 1 argument(s), got 0"),
        ("[1, 2][2]", "1:7: error: index 2 is outside of 0..1"),
        ("[1][true]", "1:4: error: an index is a whole number, got a boolean"),
        ('let s = "a"\n s[0] = "b"', "2:3: error: a string has no elements to use like this"),
        ("await 3", "1:1: error: await needs a task, got a number"),
        ("all([1])", "1:4: error: all needs tasks, got a number"),
        ("sleep(-1)", "1:6: error: sleep needs a number of seconds, 0 or more, got -1"),
        ('work("nothing")', "1:5: error: no such work: nothing; there is digest, divide"),
        ('throw ["a", 1]', '1:1: error: ["a", 1]'),
    ],
)
def test_an_error_names_the_operation_that_failed(program: str, message: str) -> None:
    """Line and column are those of the operator or bracket, not of the statement."""
    with pytest.raises(GuestError) as caught:
        run(program)

    assert caught.value.report().startswith(f"test.toy:{message}")


def test_an_error_shows_the_calls_that_led_to_it() -> None:
    """Innermost first, as far as the main program."""
    with pytest.raises(GuestError) as caught:
        run("fn inner() { return [] + 1 }\nfn outer() { return inner() }\nouter()")

    assert caught.value.trace == (
        "in inner (test.toy:1:24)",
        "in outer (test.toy:2:26)",
        "in the main program (test.toy:3:6)",
    )
    assert str(caught.value.place) == "test.toy:1:24"


def test_the_cause_of_a_workers_error_is_kept() -> None:
    """The guest sees a message; the host can see the exception itself."""

    def broken() -> None:
        raise KeyError("lost")

    with (
        Host(jobs={"broken": broken}, max_workers=1) as host,
        pytest.raises(GuestError, match="work broken failed: KeyError: 'lost'") as caught,
    ):
        host.run(Source("test.toy", 'work("broken")'))

    assert isinstance(caught.value.__cause__, KeyError)
