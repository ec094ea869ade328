"""Every cheat and every outcome, played by the shipped agents on an embedded chain."""
