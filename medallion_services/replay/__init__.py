"""A file's history sent into Kafka in its own time, resumable after any death of the process."""
