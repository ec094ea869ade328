"""A process that holds no key: it forecasts every dispute, and says where the chain disagrees (A-32)."""
