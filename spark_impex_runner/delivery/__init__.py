"""One target's way: create, wait, download, verify, run the steps."""
