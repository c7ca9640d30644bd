"""Image-to-video synthesis in JAX and Flax: conditional invertible networks, and images that answer to pokes.

From Python, start with `i2v_jax.sampling.load.load_generator`, which returns the model of a work directory, or with
`i2v_jax.config_files.load` and `i2v_jax.training.run.train_stages`, which train one. The commands are in
`i2v_jax.launch`; `i2v --help` lists them. docs/architecture.md says where everything is, and docs/extending.md how to
add to it.
"""

__version__ = "0.1.0"
