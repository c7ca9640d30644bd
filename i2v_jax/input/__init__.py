"""From stored videos to batches: sources, clip sampling, transforms, one Grain pipeline. Knows nothing of networks."""
