"""`gavel doctor`: can this machine, node, key and deployment do what gavel needs? If not, what to do."""
