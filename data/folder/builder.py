"""`folder`: any folder of videos or of folders of frames."""

from i2v_jax.data.video_builder import VideoBuilder


class Folder(VideoBuilder):
    """Every video file and every folder of images below the raw folder."""
