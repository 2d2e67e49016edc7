"""Runs one candidate over one split: asks, keeps every answer at once, scores, times and counts what it cost."""
