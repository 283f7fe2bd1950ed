"""Keeping host containers as the settings want them: plan, steps, restarts, adoption."""
