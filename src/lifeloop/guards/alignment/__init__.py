"""Preferences that may not be trusted: careless and colluding raters, bursts, planted triggers, wrong orders,
biases.
"""
