"""``python -m runtime``: see `runtime.cli`."""

from __future__ import annotations

import sys

__all__ = ()

if __name__ == "__main__":
    try:
        from runtime.cli import main

        status = main()
    except KeyboardInterrupt:  # while modules are imported, or while `main` has nothing under way
        status = 130
    sys.exit(status)
