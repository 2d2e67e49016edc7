"""Who may ask what, how much, and what may go in and out."""
