"""Hypothesis profiles: `quick` for every run; `GAVEL_PROFILE=long` where a test sets no number itself."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("quick", deadline=None)  # shared machines are slow now and then
settings.register_profile("long", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("GAVEL_PROFILE", "quick"))
