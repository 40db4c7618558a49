"""How long names and statements may be, and how many locks a transaction takes.

The columns and whoever checks agree on it.
"""

NAME_LIMIT = 100
PATH_LIMIT = 255
# Quoted twice, it must fit into the 16 MB that MariaDB takes unless told otherwise.
STATEMENT_LIMIT = 4_000_000
# PostgreSQL has room for 6,400 locks of all its sessions unless told otherwise.
MOST_KEYS = 250
