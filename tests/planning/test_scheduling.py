"""What is read of a compiler that is ended before it generates code."""

import multiprocessing
import types

import pytest

from i2v_jax.planning import scheduling

# Two parameters, one of them replaced by a result; a constant; temporaries in main memory and on the chip.
BUFFERS = """\
BufferAssignment:
allocation 0: size 512, thread-local:
 value: <461 or.190 @0> (size=512,offset=0): u8[]{:T(512)}
allocation 1: size 32768, parameter 6, shape |f32[2,32,32]| at ShapeIndex {}, maybe-live-out:
 value: <8145 param.17 @0> (size=32768,offset=0): f32[2,32,32]{2,1,0:T(8,128)}
allocation 2: size 1024, parameter 1, shape |f32[256]| at ShapeIndex {}:
allocation 3: size 64, output shape is |(f32[2,32,32], f32[16])|, maybe-live-out:
allocation 4: size 4, constant:
allocation 5: size 7168, color 1, preallocated-temp:
allocation 6: size 9126400, preallocated-temp:

Total bytes used: 9168000
"""


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "after_optimizations.txt": "HloModule step",
        "after_optimizations-buffer-assignment.txt": BUFFERS,
        "before_optimizations.txt": "HloModule before",
    }.items():
        (tmp_path / f"module_0003.step.{name}").write_text(content)
    return tmp_path


def test_memory_is_that_of_the_buffers(folder):
    compiled = scheduling._read(folder)
    assert compiled.text == "HloModule step"
    assert (compiled.arguments, compiled.temporaries, compiled.results) == (32768 + 1024, 9126400, 64)


def test_the_wait_ends_before_code(folder):
    receiving, sending = multiprocessing.Pipe(duplex=False)
    (folder / "module_0003.step.after_optimizations-memory-usage-report.txt").touch()
    assert scheduling._wait(types.SimpleNamespace(), receiving, folder) == scheduling._Answer()
    sending.send(scheduling._Answer(seconds=5.0))
    assert scheduling._wait(types.SimpleNamespace(), receiving, None).seconds == 5.0  # which waits for code


def test_a_compiler_that_crashes_is_a_failure(tmp_path):
    receiving, sending = multiprocessing.Pipe(duplex=False)
    sending.close()
    crashed = types.SimpleNamespace(join=lambda: None, exitcode=-6)
    assert "-6" in scheduling._wait(crashed, receiving, tmp_path).failure


def test_the_compiler_says_why_it_refuses():
    said = "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error.\nRan out of memory in memory space hbm. Used 20G.\n"
    assert scheduling._reason(said) == "Ran out of memory in memory space hbm. Used 20G."
