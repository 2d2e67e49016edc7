"""Realistic conditions: functions from examples to examples that are harder to answer."""
