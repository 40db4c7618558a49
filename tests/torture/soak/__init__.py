"""Real workers under a nemesis, and a checker that knows all that happened."""
