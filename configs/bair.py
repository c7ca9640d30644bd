"""BAIR robot pushing (Ebert et al. 2017), 64x64: a robot arm moves and pushes objects.

Command:   python -m launch.train --config=configs/bair.py --workdir=RUN --config.data.dir=PREPARED
           `:control=endpoint` also gives the flow the final position of the arm.
Hardware:  one 80 GB GPU; `:devices=N` adapts it to N devices, see docs/scaling.md.
Time:      video_vae 55 epochs, image_ae 60, flow 31; not timed. Arithmetic: 1.5 TFLOP per clip and step of video_vae.
Metric:    paper, Table 4: FVD 99.3 over the 256 test clips; not reproduced here.
"""

from i2v_jax.config import Config
from i2v_jax.configs import common


def get_config(argument: str | None = "") -> Config:
    """Arguments: `control` ("none" or "endpoint"), `size`, `stage`, `runlocal`, `devices`, `preset`."""
    parsed = common.arguments(argument, size=64, control="none")
    config = common.base(parsed.size, preset=parsed.preset)
    config.control = parsed.control
    config.data.name = "bair"
    config.data.flip = {"endpoint": 0.0}.get(parsed.control, 0.5)  # mirroring moves the endpoint
    config.data.jitter.update(brightness=0.1, contrast=0.1, saturation=0.1)
    config.image_ae.data.jitter.update(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
    config.video_vae.epochs = 55
    config.image_ae.epochs = 60
    config.flow.optimizer.decay_epochs = 7
    if parsed.preset != "default":
        config.train.evaluate_metric = "pfvd"
    return common.finish(config, parsed)
