"""Preferences that may not be trusted: careless, biased and colluding raters, bursts, planted triggers, wrong orders."""
