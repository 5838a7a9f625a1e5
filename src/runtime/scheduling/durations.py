"""How a pool counts the times that its jobs take.

Counting costs a few additions under a lock that is held anyway, and only every eighth
job is counted: enough for percentiles, an eighth of the price.
Source: worker-api-spec.md, section 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.scheduling.statistics import Distribution

__all__ = ("DurationCounter",)

_LONGEST: Final = 1e9  # seconds
_BUCKETS: Final = 48  # powers of two of a microsecond: up to nine years


class DurationCounter:
    """Collects durations for a `Distribution`. Not thread-safe: the pool's lock guards it."""

    __slots__ = ("_buckets", "_maximum", "_samples", "_total")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._samples = 0
        self._total = 0.0
        self._maximum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration, a negative one as 0; never raises, whatever a clock says."""
        seconds = min(seconds, _LONGEST) if seconds > 0.0 else 0.0  # NaN is not above 0 either
        self._buckets[min(int(seconds * 1e6).bit_length(), _BUCKETS - 1)] += 1
        self._samples += 1
        self._total += seconds
        self._maximum = max(self._maximum, seconds)

    def freeze(self) -> Distribution:
        """Return what was collected so far."""
        from runtime.scheduling.statistics import Distribution  # noqa: PLC0415 - see there

        mean = self._total / self._samples if self._samples else 0.0
        return Distribution(self._samples, mean, self._maximum, tuple(self._buckets))
