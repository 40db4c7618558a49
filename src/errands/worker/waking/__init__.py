"""How a process learns at once what others have enqueued; polling alone is correct."""
