"""The database: roles with least privilege, and versioned migrations."""

from medallion_services.database.prepare import prepare

__all__ = ["prepare"]
