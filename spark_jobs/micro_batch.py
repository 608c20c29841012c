"""Which micro-batch it is that a sink writes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """Identity of a micro-batch: the same after any crash and replay."""

    stream: str
    generation: str
    batch_id: int

    def app_id(self, table: str) -> str:
        """Idempotence key of this batch's write to one table."""
        if self.stream.startswith("bronze."):
            # That of Spark's own sink, which wrote bronze until November 2026.
            return self.generation
        return f"{self.stream}:{table}:{self.generation}"
