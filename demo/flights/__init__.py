"""Every flight that left New York City in 2013, and what can be done with them."""
