"""A protocol of FVD, for records of invented values."""

from i2v_jax.evaluation.records import MetricProtocol

FVD = MetricProtocol(
    metric="fvd", version=1, backbone="i3d_kinetics", backbone_sha256="ab" * 32, layer="logits", precision="float32",
    input_range="[-1, 1]", input_dtype="float32", resize_kernel="bilinear", resize_corners="tf1_legacy", resize=224,
    protocol="bair", pairing="aligned", frames=16, stride=1, start_rule="first", start_frame_scored=True, size=64,
    num_real=256, num_generated=256, samples_per_condition=1, dropped=0, distinct_clips=256, videos_too_short=0,
    data="bair", split="test",
    clip_list_sha256="cd" * 32, covariance_ddof=1, matrix_square_root="singular_values_of_factors",
)  # fmt: skip
