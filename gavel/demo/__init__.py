"""The main job of `gavel demo`."""
