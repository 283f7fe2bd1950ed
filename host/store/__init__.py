"""The settings: live and pending, keys handed over, and what a commit makes of them."""
