"""A training or an evaluation on Google Kubernetes Engine: the manifest of a JobSet with one pod per host."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from i2v_jax.distributed.hosts import Hosts, parse_hosts
from i2v_jax.errors import UserError

_JOB = "train"  # name of the job in the set, and of its container
_PORT = 55527  # on which process 0 listens
_INTERRUPTED = 75  # exit status: saved, the same command continues
_SECONDS_TO_SAVE = 120  # spot nodes give less
_COMPLETION_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

# Kind of device -> label of GKE's nodes.
_TPUS = {
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
}
_GPUS = {"a100": "nvidia-tesla-a100", "h100": "nvidia-h100-80gb", "h200": "nvidia-h200-141gb"}


@dataclasses.dataclass(frozen=True)
class Nodes:
    """The nodes of a job: `slices` TPU slices, or all nodes with GPUs."""

    hosts: Hosts  # of a slice
    slices: int
    resource: str  # what a pod asks for: google.com/tpu or nvidia.com/gpu
    labels: Mapping[str, str]  # of the nodes

    @property
    def described(self) -> str:
        kind = "chips" if self.resource.endswith("tpu") else "GPUs"
        devices, hosts = self.slices * self.hosts.devices, self.slices * self.hosts.count
        return f"{devices} {kind} ({hosts} {'host' if hosts == 1 else 'hosts'} x {self.hosts.per_host})"


def nodes(topology: str, slices: int = 1) -> Nodes:
    """Returns the nodes of a topology: "v5e:4x4" are chips of a TPU slice, "h100:4x8" nodes x GPUs.

    Raises:
      UserError: there is no such topology.
    """
    hosts = parse_hosts(topology)
    if hosts.kind in _GPUS:
        if slices > 1:
            raise UserError(f"--slices={slices}: only TPUs have slices; {topology} are nodes x GPUs", "slices", slices)
        return Nodes(hosts, 1, "nvidia.com/gpu", {"cloud.google.com/gke-accelerator": _GPUS[hosts.kind]})
    labels = {
        "cloud.google.com/gke-tpu-accelerator": _TPUS[hosts.kind],
        "cloud.google.com/gke-tpu-topology": "x".join(map(str, hosts.shape)),
    }
    return Nodes(hosts, slices, "google.com/tpu", labels)


@dataclasses.dataclass(frozen=True)
class Job:
    """A training or an evaluation on some nodes."""

    name: str
    nodes: Nodes
    image: str
    arguments: Sequence[str]  # of launch.train, or of another `command`
    command: str = "train"
    spot: bool = False
    max_restarts: int = 0  # after a crash; interruptions do not count
    service_account: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", self.name):
            raise UserError(
                f"--name={self.name}: use up to 40 small letters, digits and hyphens, beginning with a letter",
                "name",
                self.name,
            )

    def manifest(self) -> dict[str, Any]:
        """Returns the JobSet.

        A pod fails with status 75 when training was interrupted, and is marked as disrupted when its node is taken
        away: then its job fails by its `podFailurePolicy`, and the set starts all of its jobs again. After any other
        failure it does so `max_restarts` times.
        """
        metadata: dict[str, Any] = {"name": self.name}
        if self.nodes.slices > 1:  # each slice is a node pool of its own
            placement = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
            metadata["annotations"] = placement
        again = {
            "name": "interrupted",
            "action": "RestartJobSetAndIgnoreMaxRestarts",
            "onJobFailureReasons": ["PodFailurePolicy"],
        }
        job = {"name": _JOB, "replicas": self.nodes.slices, "template": {"spec": self._job()}}
        return {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": metadata,
            "spec": {
                "failurePolicy": {"maxRestarts": self.max_restarts, "rules": [again]},
                "replicatedJobs": [job],
            },
        }

    def _job(self) -> dict[str, Any]:
        """Returns the specification of a Job: all hosts of a slice."""
        interrupted = {"containerName": _JOB, "operator": "In", "values": [_INTERRUPTED]}
        return {
            "completions": self.nodes.hosts.count,
            "parallelism": self.nodes.hosts.count,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": interrupted},
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"spec": self._pod()},
        }

    def _pod(self) -> dict[str, Any]:
        devices = {self.nodes.resource: self.nodes.hosts.per_host}
        container: dict[str, Any] = {
            "name": _JOB,
            "image": self.image,
            "command": ["python", "-m", f"i2v_jax.launch.{self.command}", *self.arguments],
            "resources": {"requests": devices, "limits": dict(devices)},  # YAML would alias the same object
            "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
        }
        if self.nodes.resource == "nvidia.com/gpu" and self.nodes.hosts.count > 1:  # GKE tells TPUs who takes part
            container["env"] = [
                {"name": "JAX_NUM_PROCESSES", "value": str(self.nodes.hosts.count)},
                {"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": {"fieldPath": _COMPLETION_INDEX}}},
                {"name": "JAX_COORDINATOR_ADDRESS", "value": f"{self.name}-{_JOB}-0-0.{self.name}:{_PORT}"},
            ]
        labels = {**self.nodes.labels, **({"cloud.google.com/gke-spot": "true"} if self.spot else {})}
        spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _SECONDS_TO_SAVE,
            "nodeSelector": labels,
            **({"tolerations": [spot]} if self.spot else {}),
            **({"serviceAccountName": self.service_account} if self.service_account else {}),
            "containers": [container],
            # The default of 64 MiB is too small for NCCL and for the processes that read data.
            "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}],
        }
