"""The oracle file: one JSON line per emission, with the truth that the platform never sees."""

from medallion_services.generator.timeline import Emission
from medallion_services.json_lines import OptionalJsonLines


class OracleFile(OptionalJsonLines):
    """Writes the truth of what was sent, in sending order."""

    def note(self, emission: Emission) -> None:
        """Add a line: topic, kind, transaction_id, scenario, fraud, send_at."""
        if not self.path:
            return
        truth = emission.truth
        self.write(
            {
                "topic": emission.topic,
                "kind": truth.kind,
                "transaction_id": truth.transaction_id,
                "scenario": truth.scenario,
                "fraud": truth.fraud,
                "send_at": emission.send_at,
            }
        )
