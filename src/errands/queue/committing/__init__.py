"""What goes with a write: a short transaction, one that loses, whom to wake after it."""
