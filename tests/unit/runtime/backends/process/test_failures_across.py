"""Errors that come from another interpreter: there, other classes are at hand."""

from __future__ import annotations

import pytest

from tests.unit.runtime.faults.children import run_program

pytestmark = pytest.mark.process

_CHILD = """
import subprocess, sys
CHILD = '''
import pickle, sys
from runtime.backends.process.failures import pack_error
function = pickle.load(sys.stdin.buffer)
try:
    function()
except BaseException as error:
    sys.stdout.buffer.write(pack_error(error, "worker 7"))
'''
def elsewhere(function):
    import cloudpickle
    from runtime.backends.process.failures import unpack_error
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=cloudpickle.dumps(function), stdout=subprocess.PIPE
    )
    return unpack_error(done.stdout)
"""


def test_a_class_of_the_main_program_comes_back_as_itself() -> None:
    """``except OwnError`` works in a script and in a notebook."""
    done = run_program(
        """
        class OwnError(Exception):
            def __init__(self, code, *, more):
                super().__init__(f"{code} {more}")
                self.code = code
        def job():
            try:
                {}["k"]
            except KeyError as error:
                raise OwnError(7, more="x") from error
        error = elsewhere(job)
        assert type(error) is OwnError, error
        assert (error.code, str(error)) == (7, "7 x")
        assert error.__cause__.pid not in (None, os.getpid())
        assert isinstance(error.__cause__.__cause__, KeyError)
        try:
            raise error
        except OwnError:
            print("caught")
        """,
        before=_CHILD,
    )

    assert (done.out, done.err) == ("caught\n", "")


def test_a_class_that_was_made_in_the_job_arrives_by_value() -> None:
    """Nobody here has it; its name and its attributes are right."""
    done = run_program(
        """
        def job():
            class LocalError(ValueError):
                pass
            raise LocalError("text", {1, 2})
        error = elsewhere(job)
        assert isinstance(error, ValueError), repr(error)
        assert error.args == ("text", {1, 2})
        print(type(error).__name__)
        """,
        before=_CHILD,
    )

    assert (done.out, done.err) == ("LocalError\n", "")


def test_a_class_of_a_function_comes_back_as_itself() -> None:
    """It went there with the job, and is known again over here."""
    done = run_program(
        """
        def main():
            class LocalError(Exception):
                pass
            def job():
                raise LocalError("text")
            error = elsewhere(job)
            assert type(error) is LocalError, repr(error)
            print("same")
        main()
        """,
        before=_CHILD,
    )

    assert (done.out, done.err) == ("same\n", "")


def test_a_module_that_only_the_job_has_is_no_obstacle() -> None:
    """The import fails over here, and a stand-in says so."""
    done = run_program(
        """
        def job():
            import sys, types
            module = types.ModuleType("only_there")
            sys.modules["only_there"] = module
            exec("class TheirError(Exception): pass", module.__dict__)
            raise module.TheirError("text")
        error = elsewhere(job)
        print(type(error).__name__, error.type_name, error.message)
        """,
        before=_CHILD,
    )

    assert done.err == ""
    assert done.out == "RemoteError only_there.TheirError text\n"
