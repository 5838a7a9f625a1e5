"""Sources of children in a forked copy of the process that made them."""

from __future__ import annotations

import os

import pytest

from tests.unit.runtime.faults.children import run_program

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


@pytest.mark.parametrize("kind", ["template", "spawn"])
def test_a_source_without_a_pool_is_forgotten_and_one_of_the_copy_is_not(kind: str) -> None:
    """What a pool is just being made for, in another thread; hooks of before may make new ones."""
    name = f"{kind.title()}Source"
    ended = run_program(f"""
        import warnings
        warnings.simplefilter("ignore")
        made = []
        os.register_at_fork(after_in_child=lambda: made.append({name}()))
        from runtime.backends.process.{kind}_source import {name}
        inherited = {name}()
        pid = os.fork()
        if not pid:
            print(inherited._closed, [source._closed for source in made], flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(inherited._closed)
    """)

    assert ended == (0, "True [False]\nFalse\n", "")
