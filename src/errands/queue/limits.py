"""How long names may be; the columns and whoever checks a name agree on it."""

NAME_LIMIT = 100
PATH_LIMIT = 255
