"""Executors inside of libraries that take one: each is moved over by handing it ours.

A library that is not installed skips its tests by name; the extra "interop" has them all.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runtime.interop.concurrent import PoolExecutor, ProcessExecutor, ThreadExecutor
from runtime.workers import WorkerPool
from tests.unit.runtime.gates import GUARD
from tests.unit.runtime.interop.jobs_here import give, name_of_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries, not of ours
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def _square(number: int) -> int:
    return number * number


# ---- asyncio and tornado ------------------------------------------------------------------


def test_asyncio_default_executor_ends_with_the_loop() -> None:
    """``asyncio.run`` shuts it down, as it does with its own."""
    executor = ThreadExecutor(2)

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        calls = (loop.run_in_executor(None, _square, number) for number in range(10))
        return await asyncio.gather(*calls)

    assert asyncio.run(main(), debug=True) == [number**2 for number in range(10)]
    assert executor.pool.is_shutdown()


def test_tornado_runs_methods_on_it() -> None:
    """By ``run_on_executor``, and by the loop itself."""
    concurrent = pytest.importorskip("tornado.concurrent")
    ioloop = pytest.importorskip("tornado.ioloop")

    class Service:
        executor = ThreadExecutor(2, "tornado")

        @concurrent.run_on_executor  # type: ignore[untyped-decorator]  # it has no types here
        def square(self, number: int) -> int:
            assert threading.current_thread().name.startswith("tornado")
            return number * number

    async def main() -> list[int]:
        loop = ioloop.IOLoop.current()
        direct = await loop.run_in_executor(Service.executor, _square, 4)
        return [await Service().square(3), direct]

    with Service.executor:
        assert asyncio.run(main()) == [9, 16]


# ---- dask ---------------------------------------------------------------------------------


def _dask_graph() -> dict[str, Any]:
    task = pytest.importorskip("dask.task_spec", exc_type=ImportError)
    graph: dict[str, Any] = {f"x{n}": task.Task(f"x{n}", _square, n) for n in range(8)}
    parts = [task.TaskRef(f"x{n}") for n in range(8)]
    graph["sum"] = task.Task("sum", _total, *parts)
    return graph


def _total(*numbers: int) -> int:
    return sum(numbers)


def test_dask_schedules_threads_through_it() -> None:
    """``dask.threaded.get`` submits batches, as many as ``_max_workers`` says."""
    threaded = pytest.importorskip("dask.threaded")
    with ThreadExecutor(2) as executor:
        assert threaded.get(_dask_graph(), "sum", pool=executor) == 140
        assert executor.pool.statistics().succeeded > 0


@pytest.mark.process
def test_dask_schedules_processes_through_it() -> None:
    """``dask.multiprocessing.get`` likewise, with functions and data that travel."""
    multiprocessing = pytest.importorskip("dask.multiprocessing")
    with ProcessExecutor(2) as executor:
        assert multiprocessing.get(_dask_graph(), "sum", pool=executor) == 140
        assert executor.pool.statistics().succeeded > 0


# ---- joblib -------------------------------------------------------------------------------


def _joblib_backend(parallel: Any, executor: PoolExecutor) -> Any:  # Any: joblib has no types
    """Return what `joblib.register_parallel_backend` makes its backends with."""

    class Backend(parallel.ParallelBackendBase):  # type: ignore[misc]  # it has no types
        supports_retrieve_callback = True

        def effective_n_jobs(self, n_jobs: int) -> int:
            workers: int = executor._max_workers
            return workers if n_jobs < 0 else min(n_jobs, workers)

        def submit(self, func: Callable[[], Any], callback: Callable[[Any], None]) -> Any:
            future = executor.submit(func)
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: Any) -> Any:
            return future.result()

    return Backend


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.process)])
def test_joblib_runs_on_it_by_a_registered_backend(processes: bool) -> None:
    """Batches of calls, on threads and in processes."""
    joblib = pytest.importorskip("joblib")
    parallel = pytest.importorskip("joblib.parallel")
    with (ProcessExecutor if processes else ThreadExecutor)(2) as executor:
        name = f"vela-{processes}"
        joblib.register_parallel_backend(name, _joblib_backend(parallel, executor))
        try:
            with joblib.parallel_config(name, n_jobs=2):
                found = joblib.Parallel()(joblib.delayed(_square)(n) for n in range(50))
        finally:
            parallel.BACKENDS.pop(name)

        assert found == [n * n for n in range(50)]
        assert executor.pool.statistics().succeeded > 0


# ---- grpc ---------------------------------------------------------------------------------


@pytest.mark.process  # it starts threads of its own, in native code
def test_grpc_serves_calls_on_it() -> None:
    """The server submits each call; the handler runs on one of our threads."""
    grpc = pytest.importorskip("grpc")
    names: list[str] = []

    def echo(request: bytes, _context: object) -> bytes:
        names.append(name_of_thread())
        return request.upper()

    handler = grpc.method_handlers_generic_handler(
        "Echo", {"Call": grpc.unary_unary_rpc_method_handler(echo)}
    )
    with ThreadExecutor(2, "grpc") as executor:
        server = grpc.server(executor)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/Echo/Call")
            assert [call(b"hello", timeout=GUARD), call(b"you", timeout=GUARD)] == [
                b"HELLO",
                b"YOU",
            ]
        server.stop(None).wait(GUARD)

    assert all(name.startswith("grpc_") for name in names)
    assert len(names) == 2


# ---- s3transfer ---------------------------------------------------------------------------


def test_s3transfer_transfers_on_it(tmp_path: Any) -> None:
    """Its manager makes its executors itself, by the signature; the client is a stand-in."""
    manager = pytest.importorskip("s3transfer.manager")
    session = pytest.importorskip("botocore.session")
    stub = pytest.importorskip("botocore.stub")
    client = session.Session().create_client(
        "s3", "eu-central-1", aws_access_key_id="no", aws_secret_access_key="body"
    )
    made: list[ThreadExecutor] = []

    def new_executor(max_workers: int) -> ThreadExecutor:
        made.append(ThreadExecutor(max_workers))
        return made[-1]

    source = tmp_path / "source"
    source.write_bytes(b"payload")
    with stub.Stubber(client) as stubber:
        stubber.add_response("put_object", {"ETag": '"x"'})
        with manager.TransferManager(client, executor_cls=new_executor) as transfers:
            assert transfers.upload(str(source), "bucket", "key").result() is None
    client.close()

    assert len(made) == 3
    assert all(executor.pool.is_shutdown() for executor in made)


# ---- one pool for all of them -------------------------------------------------------------


def test_several_libraries_can_share_one_pool() -> None:
    """Each has an executor of its own; what one of them shuts down is not the pool."""

    async def main(executor: PoolExecutor) -> int:
        return await asyncio.get_running_loop().run_in_executor(executor, give, 3)

    with WorkerPool(2) as pool:
        for _ in range(2):
            with PoolExecutor(pool) as executor:
                assert asyncio.run(main(executor)) == 3
        assert pool.spawn(os.getpid).result(GUARD) == os.getpid()
        assert pool.statistics().succeeded == 3


def test_a_function_with_its_arguments_bound_is_what_libraries_pass() -> None:
    """Partials, bound methods and builtins alike."""
    calls: Iterable[Callable[[], object]] = (
        functools.partial(pow, 2, 3),
        "text".upper,
        int,
    )
    with ThreadExecutor(1) as executor:
        assert [executor.submit(call).result(GUARD) for call in calls] == [8, "TEXT", 0]
