"""The runtime under other people's interfaces; each is a module of its own, loaded on demand.

`runtime.interop.concurrent`: pools as executors of `concurrent.futures`.
`runtime.interop.guest`: our executor, driven by another loop; `runtime.interop.hosts`: its hosts.
`runtime.interop.hosting`: a loop of asyncio, driven by our executor.
`runtime.interop.foreign`: work on loops of others, as futures of ours.
Source: interop-spec.md; ADR-011, ADR-012.
"""

from __future__ import annotations

__all__ = ()
