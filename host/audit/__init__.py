"""The audit: who did what over the API, and what came of it, as one chain of records on disk."""
