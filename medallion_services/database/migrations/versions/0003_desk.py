"""The analysts' desk: cases, audit trail, snoozes, people, label outbox, and the views that dashboards share."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = Path(__file__).parent.parent / "sql"
PARTS = ("0003_work", "0003_workflow", "0003_adopt", "0003_people", "0003_views", "0003_grants")


def upgrade() -> None:
    """Run the parts in order; each is one file of statements."""
    for part in PARTS:
        # The driver would read a single percent sign as a placeholder.
        op.get_bind().exec_driver_sql((SQL / f"{part}.sql").read_text(encoding="utf-8").replace("%", "%%"))
