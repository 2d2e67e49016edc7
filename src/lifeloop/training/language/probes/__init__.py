"""Probes: what training may have broken without anybody looking, measured on parent and child alike."""
