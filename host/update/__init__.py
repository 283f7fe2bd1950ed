"""Updates of the host's own system: upstream's verbs in front of an engine that exists already."""
