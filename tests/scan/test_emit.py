"""Every instruction set compiles to the instructions it is there for, whatever this host is."""

import pytest
from llvmlite import binding, ir

from ipaq_index.scan import emit

TARGETS = {
    "avx512": ("x86_64-unknown-linux-gnu", "icelake-server", emit.avx512, ["vpermb", "vpdpbusd"]),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", emit.avx2, ["vpshufb"]),
    "neon": ("aarch64-unknown-linux-gnu", "generic", emit.neon, ["tbl", "uaddw"]),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("queries", [1, 8])
def test_assembly(name, queries):
    triple, cpu, emitted, instructions = TARGETS[name]
    module = ir.Module()
    module.triple = triple
    kind = ir.FunctionType(ir.VoidType(), [emit.I64] * 6)
    function = ir.Function(module, kind, "sums")
    builder = ir.IRBuilder(function.append_basic_block())
    codes, luts, quads, pairs, start, out = function.args
    halves = emitted(builder, queries, codes, luts, quads, pairs, start)
    for number, half in enumerate(half for pair in halves for half in pair):
        builder.store(half, emit._pointer(builder, emit.INTEGERS, out, 64 * number))
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    assembly = machine.emit_assembly(binding.parse_assembly(str(module)))
    for instruction in instructions:
        assert f"\t{instruction}" in assembly
