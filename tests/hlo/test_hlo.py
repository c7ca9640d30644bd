"""Programs are read from XLA's text: arithmetic, memory traffic and collectives."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from i2v_jax.hlo import arithmetic, text, traffic
from i2v_jax.hlo.collectives import collectives
from i2v_jax.training.cost import program_cost

FOLDER = pathlib.Path(__file__).parent
# As the compiler for TPUs prints it: tiles, on-chip memory S(1), and a collective that runs beside a fusion.
TPU = (FOLDER / "tpu.txt").read_text()
# A convolution that cuDNN computes, and the gradients of its kernel and of its input; each also has a work space.
GPU = (FOLDER / "gpu.txt").read_text()


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    def ten_products(x, w):
        return jax.lax.scan(lambda carry, _: (carry @ w, None), x, None, length=10)[0]

    compiled = jax.jit(ten_products).lower(jnp.ones((8, 64)), jnp.ones((64, 64))).compile()
    assert program_cost(compiled).flops == 10 * 2 * 8 * 64 * 64


@pytest.mark.parametrize("of", ["output", "input", "kernel"])
def test_convolutions_cost_what_xla_says(of):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    function = {
        "output": convolve,
        "input": jax.grad(lambda x, kernel: convolve(x, kernel).sum()),
        "kernel": jax.grad(lambda x, kernel: convolve(x, kernel).sum(), 1),
    }[of]
    compiled = jax.jit(function).lower(jnp.ones((2, 9, 9, 3)), jnp.ones((3, 3, 3, 8))).compile()
    cost, said = program_cost(compiled), compiled.cost_analysis()
    assert cost.flops == said["flops"]
    assert cost.bytes == said["bytes accessed"]


def test_convolutions_that_a_library_computes():
    one = 2 * 2 * 3 * 8 * 13**2  # two images, 3 channels to 8; along each axis 5 positions of 3 taps, 2 of them outside
    program = text.parse(GPU)
    assert arithmetic.flops(program) == 3 * one
    images, kernel, output = 2 * 2 * 9 * 9 * 3, 2 * 3 * 3 * 3 * 8, 2 * 2 * 5 * 5 * 8
    assert traffic.moved_bytes(program) == 3 * (images + kernel + output) + 2 * output


def test_a_slice_is_read_from_main_memory_only():
    def moved(operand, result):
        lines = [
            "ENTRY %main (x: f32[64,128]) -> f32[8,128] {",
            f"  %x = f32[64,128]{operand} parameter(0)",
            f"  ROOT %part = f32[8,128]{result} slice(%x), slice={{[0:8], [0:128]}}",
            "}",
        ]
        return traffic.moved_bytes(text.parse("\n".join(lines)))

    main, chip, part = "{1,0:T(8,128)}", "{1,0:T(8,128)S(1)}", 8 * 128 * 4
    assert [moved(main, main), moved(main, chip), moved(chip, main), moved(chip, chip)] == [2 * part, part, part, 0]


def test_tiles_are_padded_and_on_chip_memory_is_free():
    shape = text.Shape("f32", (256, 3), "1,0:T(8,128)")
    assert (shape.bytes, shape.moved_bytes) == (256 * 3 * 4, 256 * 128 * 4)
    assert text.Shape("bf16", (3, 250), "0,1:T(8,128)(2,1)").moved_bytes == 256 * 128 * 2
    assert text.Shape("f32", (256, 3), "1,0:T(8,128)S(1)").moved_bytes == 0


def test_a_collective_beside_a_fusion_counts_once():
    program = text.parse(TPU)
    gather, reduction = collectives(program)
    assert (gather.kind, gather.bytes, gather.groups) == ("all-gather", 256 * 512 * 2, ((0, 1), (2, 3)))
    assert (reduction.kind, reduction.bytes, reduction.groups) == ("all-reduce", 256 * 3 * 4, ((0, 1, 2, 3),))
    assert reduction.source == "jit(step)/sum"


def test_a_gather_of_several_arrays_says_what_each_device_gets():
    program = text.parse(
        "ENTRY %main (a: bf16[4,8], b: bf16[3,2]) -> bf16[8,8] {\n"
        "  %a = bf16[4,8]{1,0} parameter(0)\n"
        "  %b = bf16[3,2]{0,1} parameter(1)\n"
        "  %s = ((bf16[4,8]{1,0}, bf16[3,2]{0,1}), (bf16[8,8]{1,0}, bf16[6,2]{0,1})) all-gather-start(%a, %b), "
        "channel_id=1, replica_groups=[2,2]<=[4], dimensions={0}\n"
        "  %d = (bf16[8,8]{1,0}, bf16[6,2]{0,1}) all-gather-done(%s)\n"
        "  ROOT %r = bf16[8,8]{1,0} get-tuple-element(%d), index=0\n"
        "}\n"
    )
    (gather,) = collectives(program)
    assert [shape.dims for shape in gather.results] == [(8, 8), (6, 2)]
    assert (gather.bytes, gather.groups) == ((8 * 8 + 6 * 2) * 2, ((0, 1), (2, 3)))


def test_traffic_leaves_out_what_stays_on_the_chip():
    b, a, gathered = 256 * 128 * 4, 128 * 512 * 2, 256 * 512 * 2
    # b is read, to be copied onto the chip; a is read and what it gathers is written; `beside` reads and writes as much
    # as b has; the result is written
    assert traffic.moved_bytes(text.parse(TPU)) == b + a + (b + b) + gathered + b


def test_a_slice_that_is_fetched_ahead_moves_only_itself():
    program = text.parse(
        "ENTRY %main (a: f32[8,256,128]) -> f32[1,256,128] {\n"
        "  %a = f32[8,256,128]{2,1,0:T(8,128)} parameter(0)\n"
        "  %s = ((f32[8,256,128]{2,1,0:T(8,128)}), f32[1,256,128]{2,1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%a)\n"
        "  ROOT %d = f32[1,256,128]{2,1,0:T(8,128)S(1)} slice-done(%s)\n"
        "}\n"
    )
    assert traffic.moved_bytes(program) == 256 * 128 * 4
