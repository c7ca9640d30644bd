# An image for Kubernetes: docker build --build-arg=EXTRAS=tpu,gcs --tag=IMAGE .   (docs/clusters/gke.md)
FROM python:3.12-slim
ARG EXTRAS=cuda,gcs
WORKDIR /i2v_jax
COPY . .
RUN pip install --no-cache-dir --constraint=constraints.txt --editable=".[${EXTRAS}]"
# For the perceptual loss of most configurations, and for FVD
RUN python -m launch.weights --fetch lpips,i3d
