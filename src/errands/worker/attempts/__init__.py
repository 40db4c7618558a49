"""One attempt, from the claim to how it ended, and nothing of it left behind."""
