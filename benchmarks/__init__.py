"""Side-by-side comparisons with the standard library and with others: ``python -m benchmarks``."""
