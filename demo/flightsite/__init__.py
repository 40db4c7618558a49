"""The site of the demo: its settings and its addresses."""
