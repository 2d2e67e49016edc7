"""One module a stage of the loop, named by its verb: plain functions from artifacts to artifacts."""
