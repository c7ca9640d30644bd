"""XLA flags are probed once; without a writable cache folder they are probed again."""

import dataclasses
import os
import subprocess
import sys

import jax
import pytest

from i2v_jax.distributed import runtime
from i2v_jax.distributed.machine import Machine

KNOWN, UNKNOWN = "--xla_backend_optimization_level=0", "--xla_cpu_of_no_version=1"


@pytest.fixture
def probes(tmp_path, monkeypatch):
    """Returns the commands of all probes that ran, with an empty cache folder."""
    monkeypatch.setenv("I2V_JAX_CACHE", str(tmp_path / "cache"))
    commands, run = [], subprocess.run

    def counted(command, **options):
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr(runtime.subprocess, "run", counted)
    runtime.accepts_xla_flag.cache_clear()
    yield commands
    runtime.accepts_xla_flag.cache_clear()


@pytest.mark.parametrize(("flag", "accepted"), [(KNOWN, True), (UNKNOWN, False)])
def test_a_flag_is_probed_once(probes, flag, accepted):
    for _ in range(2):
        assert runtime.accepts_xla_flag(flag) is accepted
        runtime.accepts_xla_flag.cache_clear()  # as in another process
    assert len(probes) == 1


def test_a_cache_folder_that_cannot_be_written(probes, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert runtime.accepts_xla_flag(KNOWN)


def test_a_probe_that_fails_for_another_reason_is_repeated(probes, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        assert not runtime.accepts_xla_flag(KNOWN)
    runtime.accepts_xla_flag.cache_clear()
    assert runtime.accepts_xla_flag(KNOWN)


def test_programs_compile_with_the_options_of_quick_compilation():
    options = runtime.quick_compilation()
    assert options["xla_backend_optimization_level"] == 0
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_a_machine_with_a_gpu_gets_the_flags_of_its_compiler(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    for gpus, count in ((0, 0), (8, 1)):
        machine = dataclasses.replace(Machine.here(), gpus=lambda gpus=gpus: gpus)
        monkeypatch.setattr(runtime.Machine, "here", lambda machine=machine: machine)
        runtime.configure_platform()
        flags = os.environ["XLA_FLAGS"].split()
        for name in runtime.GPU_OPTIONS.keys() - {"xla_gpu_enable_triton_gemm"}:  # the user set it
            assert sum(flag.startswith(f"--{name}=") for flag in flags) == count
    assert [flag for flag in flags if "triton_gemm" in flag] == ["--xla_gpu_enable_triton_gemm=true"]


def test_the_flags_of_the_user_are_kept(monkeypatch):
    given = "--xla_cpu_experimental_ynn_fusion_type=-individual_dot"
    monkeypatch.setenv("XLA_FLAGS", given)
    runtime.configure_platform()
    assert os.environ["XLA_FLAGS"] == given
