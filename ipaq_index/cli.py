"""The command ``ipaq``: argument parsing only; `ipaq_index.commands` does the work.

Exit codes: 0 done, 1 a file is damaged (``verify``), 2 something given is not as expected, 130 ended by Ctrl-C, 141
nobody reads the output any more. Accounts go to standard output, as lines or with ``--json`` as one JSON object;
progress and errors to standard error.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="ipaq",
    help="Vector search in compressed codes. Files of vectors: .npy, .fvecs, .bvecs, .fbin, .u8bin, .hdf5, .parquet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


BROKEN_PIPE = 128 + 13  # as shells tell it


class Metric(StrEnum):
    """How vectors are compared."""

    ip = "ip"
    cosine = "cosine"
    l2 = "l2"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
IndexFile = Annotated[Path, typer.Argument(help="An index file.", metavar="INDEX")]
Vectors = Annotated[
    str, typer.Argument(help="A file of vectors; FILE#NAME picks a data set or a column in it.", metavar="VECTORS")
]
Queries = Annotated[str, typer.Argument(help="A file of queries, like a file of vectors.", metavar="QUERIES")]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores if not given.")]
Probes = Annotated[int | None, typer.Option(help="Inverted lists to look into.")]
IdsFile = Annotated[str | None, typer.Option(help="Ids of the vectors: .npy, or text, one a line.")]
Neighbours = Annotated[int, typer.Option("-k", help="Neighbours.")]


@contextmanager
def _errors(damage: int = 2) -> Iterator[None]:
    """Turn what is wrong with files and arguments into one line and an exit code."""
    from ipaq_index.storage import IndexFileError

    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:  # `ipaq search … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush at exit
        raise typer.Exit(BROKEN_PIPE) from error
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        typer.echo(f"ipaq: {error}", err=True)
        raise typer.Exit(damage if isinstance(error, IndexFileError) else 2) from error


def _print(account: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(account))
        return
    for key, value in account.items():
        typer.echo(f"{key.replace('_', ' ')}: {f'{value:.6g}' if isinstance(value, float) else value}")


def _version(wanted: bool) -> None:
    if wanted:
        import ipaq_index

        typer.echo(f"ipaq {ipaq_index.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell it.")] = False,
) -> None:
    pass


@app.command()
def build(
    vectors: Vectors,
    output: Annotated[Path, typer.Option("-o", "--output", help="The index file to write.")],
    bits: Annotated[float | None, typer.Option(help="Mean bits a dimension; 4 if nothing is said.")] = None,
    bytes_per_vector: Annotated[
        int | None,
        typer.Option("--bytes", help="All bytes a vector may cost, instead of --bits."),
    ] = None,
    metric: Annotated[Metric, typer.Option(help="How vectors are compared.")] = Metric.ip,
    nlist: Annotated[str | None, typer.Option(help="Inverted lists: a number, or auto.")] = None,
    refine: Annotated[str | None, typer.Option(help="Finer vectors kept too: fp16 or sq8.")] = None,
    encoding: Annotated[str, typer.Option(help="auto, trellis, or scalar (faster to build).")] = "auto",
    rounding: Annotated[
        str, typer.Option(help="nearest, or stochastic: scores without bias, lower recall.")
    ] = "nearest",
    queries: Annotated[str | None, typer.Option(help="Typical queries, to fit the codes to.")] = None,
    ids: IdsFile = None,
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    threads: Threads = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Build an index from a file of vectors, which may be larger than memory."""
    from ipaq_index import commands

    with _errors():
        parameters = {
            "bits": bits,
            "bytes_per_vector": bytes_per_vector,
            "metric": metric.value,
            "nlist": int(nlist) if nlist is not None and nlist.isdecimal() else nlist,
            "refine": refine,
            "encoding": encoding,
            "rounding": rounding,
            "seed": seed,
            "threads": threads,
        }
        _print(commands.build(vectors, output, parameters, queries, ids, force), as_json)


@app.command()
def add(index: IndexFile, vectors: Vectors, ids: IdsFile = None, as_json: Json = False) -> None:
    """Add a file of vectors to an index: all of them, or none."""
    from ipaq_index import commands

    with _errors():
        _print(commands.add(index, vectors, ids), as_json)


@app.command()
def search(
    index: IndexFile,
    queries: Queries,
    k: Neighbours = 10,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".npy, .csv or .parquet; without it, lines on standard output."),
    ] = None,
    nprobe: Probes = None,
    allowed: Annotated[str | None, typer.Option("--filter", help="Ids that may be found: .npy, or text.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find the nearest vectors of each query."""
    from ipaq_index import commands

    with _errors():
        account, scores, ids = commands.search(index, queries, k, output, nprobe, allowed, threads)
        if output is not None:
            _print(account, as_json)
        elif as_json:
            lists = [[score if i >= 0 else None for score, i in zip(s, r, strict=True)] for s, r in _pairs(scores, ids)]
            typer.echo(json.dumps(account | {"ids": ids.tolist(), "scores": lists}))
        else:
            typer.echo("query\trank\tid\tscore")
            for number, (row_scores, row_ids) in enumerate(_pairs(scores, ids)):
                for rank, (score, found) in enumerate(zip(row_scores, row_ids, strict=True)):
                    if found >= 0:
                        typer.echo(f"{number}\t{rank}\t{found}\t{score:.6g}")


def _pairs(scores: Any, ids: Any) -> Any:
    return zip(scores.tolist(), ids.tolist(), strict=True)


@app.command()
def info(index: IndexFile, as_json: Json = False) -> None:
    """Tell what is in an index file, at once: its arrays are not read."""
    from ipaq_index import commands

    with _errors():
        account = commands.info(index)
        if not as_json:
            sections = account.pop("sections")
            config = {key: value for key, value in account.pop("config").items() if value is not None}
            account |= {key: value for key, value in config.items() if key not in account}
            account |= {
                f"section {s['name']}": f"{s['dtype']} {tuple(s['shape'])}, {s['bytes']} bytes" for s in sections
            }
        _print(account, as_json)


@app.command()
def verify(index: IndexFile, as_json: Json = False) -> None:
    """Check every byte of an index file; exit code 1 if it is damaged."""
    from ipaq_index import commands

    with _errors(damage=1):
        _print(commands.verify(index), as_json)


@app.command()
def evaluate(
    index: IndexFile,
    vectors: Vectors,
    queries: Queries,
    k: Neighbours = 10,
    nprobe: Probes = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure recall against exact search over the vectors the index was built from, in their order."""
    from ipaq_index import commands

    with _errors():
        _print(commands.evaluate(index, vectors, queries, k, nprobe, threads), as_json)


@app.command()
def warmup(as_json: Json = False) -> None:
    """Compile the kernels for this machine now; they are cached."""
    from ipaq_index import commands

    with _errors():
        _print(commands.warmup(), as_json)


@app.command()
def bench(
    config: Annotated[Path, typer.Argument(help="An experiment, such as configs/quickstart.toml.")],
    fast: Annotated[bool, typer.Option("--fast", help="The smaller run of the same experiment.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    data: Annotated[Path, typer.Option(help="Folder for data sets.")] = Path("data"),
) -> None:
    """Compare ipaq_index with its peers, as an experiment file says (in a checkout of the repository)."""
    with _errors():
        run = _in_checkout("eval.__main__").main
        code = run([str(config), *(["--fast"] if fast else []), "--out", str(out), "--data", str(data)])
    raise typer.Exit(code)


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="A data set to fetch now; without it, all are listed.")] = None,
    data: Annotated[Path, typer.Option(help="Folder for data sets.")] = Path("data"),
    as_json: Json = False,
) -> None:
    """List the data sets that experiments know, or fetch one (in a checkout of the repository)."""
    with _errors():
        _print(_in_checkout("eval.datasets.listing").listing(name, data), as_json)


def _in_checkout(module: str) -> Any:
    """Import from ``eval``, which is part of the repository and not of the installed package."""
    from importlib import import_module

    sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"expected to run in a checkout of the repository with pip install '.[eval]', but {error.name} is missing"
        ) from error


def main() -> None:
    """Run the command; the entry point of ``ipaq``."""
    app()
