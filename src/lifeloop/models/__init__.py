"""What can answer: one module a kind, loaded from the files that training made."""
