"""Data sets embedded in the plane, with the classifier's decision behind them."""
