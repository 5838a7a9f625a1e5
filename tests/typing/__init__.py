"""Programs that type checkers look at and nobody runs; see `tests/unit/test_typing.py`."""
