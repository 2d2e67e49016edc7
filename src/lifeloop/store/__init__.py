"""What is kept: the ledger (who decided what, when, on which evidence), the vault (artifacts), the event recorder."""
