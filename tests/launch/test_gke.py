"""`launch.gke`: the manifests fit the schemas of Kubernetes, and say what training and JobSet need."""

import jsonschema
import kubernetes_validate
import pytest
import yaml

from i2v_jax.errors import UserError
from i2v_jax.launch._jobset import Job, nodes
from tests.launch.synthesis import launch

# The fields of JobSet v1alpha2 that are used here, from its API reference; no package has the schema of the resource.
_RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "action"],
    "properties": {
        "name": {"pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
        "action": {"enum": ["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"]},
        "onJobFailureReasons": {"type": "array", "items": {"enum": ["PodFailurePolicy", "BackoffLimitExceeded"]}},
    },
}
_REPLICATED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "template"],
    "properties": {
        "name": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 1},
        "template": {"type": "object", "additionalProperties": False, "properties": {"spec": {}, "metadata": {}}},
    },
}
_JOB_SET = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "kind": {"const": "JobSet"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "failurePolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"maxRestarts": {"type": "integer"}, "rules": {"type": "array", "items": _RULE}},
                },
                "replicatedJobs": {"type": "array", "items": _REPLICATED},
            },
        },
    },
}


def check(job_set):
    """Raises an error unless the set and its only job fit their schemas. Returns the job and its pod."""
    jsonschema.validate(job_set, _JOB_SET)
    (replicated,) = job_set["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": job_set["metadata"], **replicated["template"]}
    kubernetes_validate.validate(job, "1.33", strict=True)
    return job["spec"], job["spec"]["template"]["spec"]


def test_the_schemas_refuse_what_they_do_not_have():
    for path in (["spec"], ["spec", "replicatedJobs", 0, "template", "spec", "template", "spec"]):
        manifest = part = made("v5e:4x4")
        for key in path:
            part = part[key]
        part["misspelled"] = 1
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(manifest)


def made(topology, slices=1, **options):
    return Job("bair", nodes(topology, slices), "image", ["--config=bair"], **options).manifest()


@pytest.mark.parametrize(
    ("topology", "hosts", "devices", "label"),
    [
        ("v5e:2x4", 1, 8, "tpu-v5-lite-podslice"),
        ("v5p:4x4x4", 16, 4, "tpu-v5p-slice"),
        ("h100:4x8", 4, 8, "nvidia-h100-80gb"),
    ],
)
def test_a_pod_takes_all_devices_of_its_host(topology, hosts, devices, label):
    job, pod = check(made(topology))
    assert (job["completions"], job["parallelism"]) == (hosts, hosts)
    (container,) = pod["containers"]
    assert list(container["resources"]["limits"].values()) == [devices]
    assert label in pod["nodeSelector"].values()


def test_gpus_have_no_slices():
    with pytest.raises(UserError) as raised:
        nodes("h100:8", 2)
    assert (raised.value.field, raised.value.value) == ("slices", 2)


def test_a_job_starts_again_when_it_was_interrupted_and_only_then():
    manifest = made("v5e:4x4")
    job, pod = check(manifest)
    rules = job["podFailurePolicy"]["rules"]
    assert {rule["action"] for rule in rules} == {"FailJob"}
    assert rules[0]["onExitCodes"] == {"containerName": pod["containers"][0]["name"], "operator": "In", "values": [75]}
    assert [condition["type"] for condition in rules[1]["onPodConditions"]] == ["DisruptionTarget"]
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")  # what podFailurePolicy needs
    policy = manifest["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 0
    (rule,) = policy["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("RestartJobSetAndIgnoreMaxRestarts", ["PodFailurePolicy"])


def test_gpus_get_the_address_of_the_first_pod():
    job, pod = check(made("h100:4x8"))
    variables = {each["name"]: each.get("value", each.get("valueFrom")) for each in pod["containers"][0]["env"]}
    assert variables["JAX_NUM_PROCESSES"] == "4" and job["completionMode"] == "Indexed"
    assert "job-completion-index" in variables["JAX_PROCESS_ID"]["fieldRef"]["fieldPath"]
    # JOBSET-JOB-REPLICA-POD in the JobSet's own subdomain
    assert variables["JAX_COORDINATOR_ADDRESS"].partition(":")[0] == "bair-train-0-0.bair"
    assert "env" not in check(made("h100:8"))[1]["containers"][0]


def test_several_slices_on_spot_nodes():
    manifest = made("v5e:4x4", 2, spot=True, max_restarts=3, service_account="trainer")
    _, pod = check(manifest)
    assert manifest["spec"]["replicatedJobs"][0]["replicas"] == 2
    assert "alpha.jobset.sigs.k8s.io/exclusive-topology" in manifest["metadata"]["annotations"]
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true" and pod["tolerations"]
    assert (manifest["spec"]["failurePolicy"]["maxRestarts"], pod["serviceAccountName"]) == (3, "trainer")


@pytest.mark.parametrize(
    "training",
    [
        ["--config=bair:size=64", "--workdir=gs://b/run", "--config.data.dir=gs://b/data", "--config.seed=3"],
        ["--print_config", "--config", "bair:size=64", "--workdir", "gs://b/run", "--config.seed", "3"],
    ],
)
def test_by_command(tmp_path, training):
    options = ["--name=bair", "--topology=v5e:4x4", "--image=image", f"--out={tmp_path}/job.yaml"]
    done = launch("launch.gke", *options, "--", *training)
    assert done.returncode == 0, done.stderr
    _, pod = check(yaml.safe_load((tmp_path / "job.yaml").read_text()))
    assert pod["containers"][0]["command"][-len(training) :] == training


def test_an_evaluation_and_a_work_directory_that_would_be_lost(tmp_path):
    options = ["--name=bair", "--topology=h100:8", "--image=image", f"--out={tmp_path}/job.yaml", "--command=evaluate"]
    done = launch("launch.gke", *options, "--", "--workdir=gs://b/run", "--repeats=5")
    assert done.returncode == 0, done.stderr
    _, pod = check(yaml.safe_load((tmp_path / "job.yaml").read_text()))
    assert pod["containers"][0]["command"][-3:] == ["i2v_jax.launch.evaluate", "--workdir=gs://b/run", "--repeats=5"]
    assert launch("launch.gke", *options, "--", "--workdir=RUN").returncode == 2


def test_arguments_that_training_would_refuse(tmp_path):
    training = ["--config=bair", "--workdir=gs://b/run", "--config.data.flipp=1"]
    done = launch("launch.gke", "--name=a", "--topology=h100:8", "--image=i", f"--out={tmp_path}/j", "--", *training)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "j").exists()
