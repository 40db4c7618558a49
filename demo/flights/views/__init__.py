"""The pages, one module per topic of the demo."""
