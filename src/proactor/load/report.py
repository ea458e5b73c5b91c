"""What a run came to: the verdict, the rate, the percentiles; for a person and as JSON.

The keys of the JSON object are a promise (docs/load.md): new ones may come, none goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proactor.load.generator import Counts
from proactor.load.histogram import Histogram
from proactor.load.plan import LoadPlan


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a run.

    Attributes:
        plan: What was asked for.
        counts: What happened.
        latencies: Of messages begun within the measured time, from when they were to be sent.
        generator: ``native`` or ``python``.
        cpu_share: Part of a CPU that the generator itself used while it measured, 0 to 1: near
            1 it was the limit, and the server could have done more.
        interrupted: It was ended from outside, before its time.
    """

    plan: LoadPlan
    counts: Counts
    latencies: Histogram
    generator: str
    cpu_share: float
    interrupted: bool = False

    @property
    def seconds(self) -> float:
        """The measured time."""
        return max(self.counts.ended - self.counts.began, 0) / 1e9

    @property
    def rate(self) -> float:
        """Replies, in a fan-out deliveries, a second."""
        return self.counts.messages / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Connections that were given up."""
        return sum(self.counts.failed.values())

    @property
    def is_right(self) -> bool:
        """Something was measured, and everything that came or should have come was right."""
        return self.counts.messages > 0 and not self.failed and not self.counts.missing

    def failures(self) -> list[str]:
        """Say of the first connections that were given up, one line each, why."""
        fans = self.plan.kind == "fanout"
        return [failure.text(fans=fans) for failure in self.counts.first]

    def as_json(self) -> dict[str, Any]:
        """Return the report under its stable keys; times are in seconds."""
        plan, counts, latencies = self.plan, self.counts, self.latencies
        return {
            "right": self.is_right,
            "traffic": plan.kind,
            "host": plan.host,
            "port": plan.port,
            "connections": plan.connections,
            "size": plan.message_size,
            "depth": plan.in_flight,
            "intended_rate": plan.rate or None,
            "generator": self.generator,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "messages": counts.messages,
            "rate": self.rate,
            "sent": counts.sent,
            "unsent": counts.unsent,
            "missing": counts.missing,
            "latency": {
                "count": latencies.recorded,
                "mean": latencies.mean,
                "p50": latencies.quantile(0.5),
                "p90": latencies.quantile(0.9),
                "p99": latencies.quantile(0.99),
                "p99.9": latencies.quantile(0.999),
                "max": latencies.maximum,
            },
            "failed": {kind.name.lower(): count for kind, count in counts.failed.items()},
            "failures": self.failures(),
            "load_cpu_share": self.cpu_share,
        }
