"""Which workers live, and what becomes of the tasks of the others."""
