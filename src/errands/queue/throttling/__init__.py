"""What keeps a ready task from starting: a full key, a rate, a paused queue."""
