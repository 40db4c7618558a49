"""What the tests need besides Python: found on the machine, or started."""
