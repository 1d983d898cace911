"""What the steps cost, measured beside their rivals and their limit: `make bench`."""
