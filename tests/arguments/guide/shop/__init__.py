"""The app the guide speaks of."""
