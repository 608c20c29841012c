"""Notifications: finer routes, what became of each row, phones that subscribed, and alerts about operations."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

SQL = Path(__file__).parent.parent / "sql"
PARTS = ("0006_notifications", "0006_operations")


def upgrade() -> None:
    """Run the parts in order; each is one file of statements."""
    for part in PARTS:
        # The driver would read a single percent sign as a placeholder.
        op.get_bind().exec_driver_sql((SQL / f"{part}.sql").read_text(encoding="utf-8").replace("%", "%%"))
