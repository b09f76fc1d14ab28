"""Every instruction set compiles to the instructions it is there for, whatever this host is."""

import pytest
from llvmlite import binding, ir

from ipaq_index.scan import emit, emit_dense, emit_lookups, emit_row, emit_walk
from ipaq_index.scan.emit import I64

TARGETS = {
    "avx512": ("x86_64-unknown-linux-gnu", "icelake-server", ""),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", ""),
    "neon": ("aarch64-unknown-linux-gnu", "generic", "+dotprod"),
}
DENSE = {"avx512": emit_dense.AVX512, "avx2": emit_dense.AVX2, "neon": emit_dense.NEON}
FORMAT = [ir.Constant(I64, value) for value in (3, 119 << 23, 1 << 14)]


def assembly(name, arguments, body):
    """Return what ``body(builder, addresses)`` compiles to."""
    triple, cpu, features = TARGETS[name]
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    body(builder, function.args)
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=3)
    return machine.emit_assembly(binding.parse_assembly(str(module)))


@pytest.mark.parametrize(("name", "expected"), [("avx512", "vpermb"), ("avx2", "vpshufb"), ("neon", "tbl uaddw")])
def test_lookups(name, expected):
    def body(builder, arguments):
        first, second, tables, count, out = arguments
        kind = [ir.VectorType(emit.I8, {"avx512": 64, "avx2": 32, "neon": 16}[name]), 64]

        def read(pair):
            at = [builder.add(begin, builder.mul(pair, ir.Constant(I64, 64))) for begin in (first, second)]
            return [emit.load(builder, kind[0], at[0], n) for n in range(0, 64, kind[0].count)]

        pairs = emit_lookups.Pairs(read, lambda pair: [first, second], count)
        for number, sums in enumerate(getattr(emit_lookups, name)(builder, pairs, tables)):
            emit.store(builder, sums, out, 64 * number)

    text = assembly(name, 5, body)
    for instruction in expected.split():
        assert f"\t{instruction}" in text


@pytest.mark.parametrize(
    ("name", "expected"), [("avx512", "vpdpbusd"), ("avx2", "vpmaddubsw vpmaddwd"), ("neon", "sdot")]
)
def test_products(name, expected):
    def body(builder, arguments):
        levels, weights, quads, queries, start, scales, inverse, shift, floor, sums, above = arguments
        bars = emit.Bars(inverse, shift, floor)
        out = [sums, above]
        emit_dense.products(builder, DENSE[name], levels, weights, quads, queries, start, scales, None, bars, out)

    text = assembly(name, 11, body)
    for instruction in expected.split():
        assert text.count(f"\t{instruction}") >= emit_dense.GROUP


@pytest.mark.parametrize(("name", "expected"), [("avx512", "vpermb"), ("avx2", "vpshufb"), ("neon", "tbl")])
def test_decoding(name, expected):
    def body(builder, arguments):
        first, second, own, side, levels, steps, active, tables, stride, quads = arguments[:10]
        blocks = [((first, second), side, levels)] * max(1, DENSE[name].decoded // 32)
        emit_dense.decode(
            builder, DENSE[name], emit.I16, blocks, own, steps, active, (tables, stride), quads, arguments[10:], FORMAT
        )

    assert f"\t{expected}" in assembly(name, 13, body)


def test_passing():
    def body(builder, arguments):
        sums, side, bars, out = arguments
        loaded = emit.load(builder, emit_lookups.ROWS, sums)
        emit.store(builder, builder.bitcast(emit_lookups.reached(builder, loaded, emit.I16, side, bars), emit.I32), out)

    text = assembly("avx512", 4, body)
    for instruction in ("vpermw", "vpmulhuw", "vpaddusw"):
        assert text.count(f"\t{instruction}") == 1


@pytest.mark.parametrize(("name", "expected"), [("avx512", "vpermt2ps"), ("avx2", "vmulps"), ("neon", "fmul")])
def test_exact_sums(name, expected):
    def body(builder, arguments):
        starts, first, second, states, tile, p, steps, active, used, levels, out = arguments[:11]
        parts = [(starts, first), (builder.add(starts, ir.Constant(I64, 128)), second)]
        used, feedback = (active, used), list(arguments[11:])
        emit_row.totals(builder, parts, states, tile, p, steps, used, levels, feedback, out, name == "avx512")

    assert f"\t{expected}" in assembly(name, 14, body)


@pytest.mark.parametrize(("name", "expected"), [("avx512", "vgf2p8affineqb"), ("avx2", "vpshufb"), ("neon", "tbl")])
def test_numbers_of_levels(name, expected):
    def body(builder, arguments):
        first, side, second, other_side, state_bits, made, count, sources, out = arguments
        blocks = [(first, side), (second, other_side)]
        pairs = emit_walk.pairs(builder, DENSE[name], emit.I16, blocks, state_bits, (made, count), sources)
        for number, part in enumerate(pairs.read(ir.Constant(I64, 0))):
            emit.store(builder, part, out, part.type.count * number)

    assert f"\t{expected}" in assembly(name, 9, body)
