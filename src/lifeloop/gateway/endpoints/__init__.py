"""What each path takes and gives, and the page that describes it."""
