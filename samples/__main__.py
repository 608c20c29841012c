"""Write the samples and the mapping schema anew: `python -m samples`."""

from samples.make import DIRECTORY, write_all

for path in write_all(DIRECTORY):
    print(path.relative_to(DIRECTORY.parent))  # noqa: T201 - a script
