# An image for Kubernetes: docker build --build-arg=EXTRAS=tpu,gcs --tag=IMAGE .   (docs/clusters/gke.md)
FROM python:3.12-slim
ARG EXTRAS=cuda,gcs
WORKDIR /i2v_jax
COPY . .
RUN pip install --no-cache-dir --constraint=constraints.txt --editable=".[${EXTRAS}]"
