"""Rows that look planted: triggers, crowds, and labels that one source has flipped."""
