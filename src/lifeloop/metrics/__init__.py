"""Metrics that a brief declares for itself: what an error costs, a rule, a function, a judge."""
