"""One document a cycle, as HTML and as Markdown, made from the evidence alone."""
