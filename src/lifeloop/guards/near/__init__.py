"""Texts that are almost the same: sketches, candidates, their similarity, and what becomes of them."""
