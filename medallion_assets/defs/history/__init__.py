"""Days of history: decided again in batch, and compared with what the stream decided."""
