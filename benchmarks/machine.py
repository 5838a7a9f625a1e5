"""What the figures were measured on."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import platform
import sys
import sysconfig
from pathlib import Path

__all__ = ("describe",)

PEERS = (
    *("uvloop", "trio", "anyio"),
    *("loky", "pebble", "mpire", "joblib", "cloudpickle", "numpy"),
)


def describe() -> dict[str, str]:
    """Return the machine, the interpreter and the versions, each in a few words."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.system()} "
        f"{platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()} "
        f"({platform.python_compiler()})",
        "profile-guided build": _pgo(),
        "GIL": "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off",
        "garbage collector": f"on, thresholds {gc.get_threshold()}",
        "switch interval": f"{sys.getswitchinterval() * 1000:g} ms",
        "load at the start": _load(),
        "bytecode": _bytecode(),
        "peers": ", ".join(_versions()) or "the standard library only",
    }


def _versions() -> list[str]:
    found = []
    for name in PEERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _load() -> str:
    with contextlib.suppress(AttributeError, OSError):
        return f"{os.getloadavg()[0]:.2f}"
    return "unknown"


def _bytecode() -> str:
    """Tell whether children find their imports compiled, as a user's would."""
    if "PYTHONDONTWRITEBYTECODE" in os.environ:
        return "cached; PYTHONDONTWRITEBYTECODE is set, and is not passed on to children"
    return "cached"


def _pgo() -> str:
    """Tell whether the interpreter is optimised with a profile, from how it was built."""
    if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return "yes"
    use = sysconfig.get_config_var("PGO_PROF_USE_FLAG")
    if use is None:
        return "unknown"
    # Debian runs the profile build by hand and blanks the flag in what it installs.
    return "no" if use else "yes, as far as a distribution's build tells"
