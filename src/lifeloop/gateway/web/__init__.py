"""What stands between bytes and calls: the protocol and its limits, requests and replies, errors, CORS."""
