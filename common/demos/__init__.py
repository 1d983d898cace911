"""What two of the programs show: a stock market and a factory floor."""
