"""`python -m medallion_services` is the `medallion` command."""

from medallion_services.cli import app

if __name__ == "__main__":
    app()
