"""Which micro-batch it is that a sink writes, and the key by which a table knows it again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Batch:
    """Identity of a micro-batch: the same after any crash and replay."""

    stream: str
    generation: str
    batch_id: int

    def app_id(self, table: str) -> str:
        """Idempotence key of this batch's write to one table."""
        return app_id(self.stream, table, self.generation)


def app_id(stream: str, table: str, generation: str) -> str:
    """What a query of that checkpoint generation notes in the log of each table it writes, with the batch's number."""
    if stream.startswith("bronze."):
        # That of Spark's own sink, which wrote bronze until November 2026.
        return generation
    return f"{stream}:{table}:{generation}"
