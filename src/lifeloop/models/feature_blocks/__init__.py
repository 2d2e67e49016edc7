"""What features are made of: one block a module, and the list of them in `blocks`."""
