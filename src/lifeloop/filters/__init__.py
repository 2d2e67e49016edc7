"""What may not come in, and what may not go out: one filter a module, found by its name in the brief."""
