"""Processes that hold local models: one for each candidate, shared by all workers of a gateway, replaced if lost."""
