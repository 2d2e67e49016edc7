"""One module a revision of the ledger, numbered."""
