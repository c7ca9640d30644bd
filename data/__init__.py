"""Preparing data sets: one TFDS builder per folder, and what they share (raw, staging, video_builder)."""
