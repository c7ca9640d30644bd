"""A trained model under a protocol: its clips, its samples, its metrics."""
