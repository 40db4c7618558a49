"""The queue on PostgreSQL, and how its statements get there quickly."""
