"""Executors of both kinds: a test that asks for `executor` or `new_executor` runs on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.interop.concurrent import ProcessExecutor, ThreadExecutor
from tests.unit.runtime.far_gates import FarGate
from tests.unit.runtime.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.interop.concurrent import PoolExecutor

KINDS = {"threads": ThreadExecutor, "processes": ProcessExecutor}


@pytest.fixture(params=["threads", pytest.param("processes", marks=pytest.mark.process)])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def new_executor(kind: str) -> Iterator[Callable[..., PoolExecutor]]:
    """Make executors of this kind, which end with the test."""
    made: list[PoolExecutor] = []

    def make(*args: Any, **options: Any) -> PoolExecutor:  # Any: the kind's own arguments
        made.append(KINDS[kind](*args, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def executor(new_executor: Callable[..., PoolExecutor]) -> PoolExecutor:
    return new_executor(2)


@pytest.fixture
def single(new_executor: Callable[..., PoolExecutor]) -> PoolExecutor:
    """An executor with one worker."""
    return new_executor(1)


@pytest.fixture
def new_gate(kind: str) -> Iterator[Callable[..., Gate[Any] | FarGate[Any]]]:
    """Make jobs whose begin and end the test decides, on this kind of worker."""
    made: list[Gate[Any] | FarGate[Any]] = []

    def make(result: object = "through") -> Gate[Any] | FarGate[Any]:
        gate: Gate[Any] | FarGate[Any]
        gate = Gate(result) if kind == "threads" else FarGate(result)
        made.append(gate)
        return gate

    yield make
    for gate in made:
        if isinstance(gate, FarGate):
            gate.close()


@pytest.fixture
def gate(new_gate: Callable[..., Gate[Any] | FarGate[Any]]) -> Gate[Any] | FarGate[Any]:
    return new_gate()
