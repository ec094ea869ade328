"""The commands of `gavel`, one module per actor."""
