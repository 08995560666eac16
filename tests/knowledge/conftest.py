"""Hypothesis without a deadline: these tests share two cores with whatever else runs."""

import hypothesis

hypothesis.settings.register_profile("localmind", deadline=None)
hypothesis.settings.load_profile("localmind")
