"""Functions that only compiled functions call: compiled as parts of these.

numba makes machine code of every compiled function, wraps it for Python and for C, and links it into each function
that calls it, where all of it is optimised, and made machine code of, once more. What is marked `inner` here stays
LLVM code until a function that Python calls has all its parts: then it is optimised once. Of a first search, with
nothing in numba's cache, that takes off a third (see docs/scan.md); the machine code is as fast.

Calls from Python run the plain function, which is the twin of what is compiled.
"""

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import ir, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering, NoPythonBackend
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template
from numba.extending import models, register_model

Choose = Callable[..., Callable[..., Any]]


class Part(JITCodeLibrary):
    """LLVM code that waits to be linked into a caller's."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class Borrowing(Lower):
    """Counts no references to arguments: the caller holds them while the call lasts.

    A function that takes what a scan needs would count 37 arrays in and out, which takes as long as scoring 3 rows.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.borrowed: set[str] = set()
        self.counting = True

    def lower_assign(self, ty: Any, inst: Any) -> Any:
        """Turn an assignment into LLVM code."""
        name = inst.target.name
        assigned = [one for block in self.blocks.values() for one in block.find_insts(ir.Assign)]
        if isinstance(inst.value, ir.Arg) and sum(one.target.name == name for one in assigned) == 1:
            self.borrowed.add(name)
            self.counting = False
        value = super().lower_assign(ty, inst)
        self.counting = True
        return value

    def incref(self, typ: Any, val: Any) -> None:
        """Count a reference."""
        if self.counting:
            super().incref(typ, val)

    def delvar(self, name: str) -> None:
        """Forget a variable."""
        if name not in self.borrowed:
            super().delvar(name)


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerPart(NativeLowering):
    """Turn a function into LLVM code."""

    _name = "lower_part"

    @property
    def lowering_class(self) -> Any:
        """Return what does it."""
        return Borrowing

    def run_pass(self, state: Any) -> bool:
        """Do it."""
        state.library = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class OfferPart(NoPythonBackend):
    """Let callers find that code."""

    _name = "offer_part"

    def run_pass(self, state: Any) -> bool:
        """Do it."""
        lowered = state["cr"]
        key = object().__reduce__  # numba looks a function up by its entry point: this one stands for it, unlike others
        state.targetctx.insert_user_function(key, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=key)
        return bool(super().run_pass(state))


class PartCompiler(CompilerBase):
    """numba's compiler without its end."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        flags = self.state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        instead = {NativeLowering: LowerPart, NoPythonBackend: OfferPart}
        passes.passes = [(instead.get(one, one), text) for one, text in passes.passes]
        passes._finalized = False
        passes.finalize()
        return [passes]


class Inner(types.Dispatcher):
    """Type of an inner function, which `choose` returns for types of arguments. Literals count as their types."""

    def __init__(self, function: Callable[..., Any], choose: Choose | None, options: dict[str, Any]) -> None:
        self.options, self.choose = options, choose
        self.own = self.compiler(function)  # the base holds a weak reference
        self.found: dict[Any, Any] = {}
        super().__init__(self.own)

    def compiler(self, function: Callable[..., Any]) -> Any:
        """Return numba's dispatcher of a function."""
        return njit(function, pipeline_class=PartCompiler, **self.options)

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Compile for some types, if that was not done; return the call's signature."""
        args = tuple(types.unliteral(kind) for kind in args)
        kws = {name: types.unliteral(kind) for name, kind in kws.items()}
        key = args, tuple(kws.items())
        if key not in self.found:
            self.found[key] = self.compiler(self.choose(*args, **kws)) if self.choose else self.own
        dispatcher = self.found[key]
        template, pysig, args, kws = dispatcher.get_call_template(args, kws)
        signature = template(context).apply(args, kws)
        if signature is None:
            return None
        self.found[signature.args, ()] = dispatcher
        return signature.replace(pysig=pysig)

    def get_overload(self, sig: Any) -> Any:
        """Return what stands for the compiled code."""
        return self.found[sig.args, ()].get_overload(sig.args)


register_model(Inner)(models.OpaqueModel)


def inner(function: Any = None, *, forceinline: bool = False) -> Any:
    """Mark a function that compiled functions call; ``forceinline`` is numba's."""
    if function is None:
        return lambda one: inner(one, forceinline=forceinline)
    infer_global(function, Inner(function, None, {"forceinline": forceinline}))
    return function


def emitted(function: Callable[..., Any], *, forceinline: bool = False) -> Callable[[Choose], Choose]:
    """Mark what returns, for types of arguments, the function to compile in place of ``function``."""

    def mark(choose: Choose) -> Choose:
        infer_global(function, Inner(function, choose, {"forceinline": forceinline}))
        return choose

    return mark


def instructions(function: Callable[..., Any]) -> Callable[[Choose], Choose]:
    """Mark what returns, for types of arguments, signature and generator of LLVM code in place of ``function``.

    It is the argument of `numba.extending.intrinsic`.
    """

    def mark(define: Choose) -> Choose:
        template = make_intrinsic_template(function, define, function.__name__, kwargs={})
        infer(template)
        infer_global(function, types.Function(template))
        return define

    return mark
