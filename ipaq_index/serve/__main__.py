"""Command line: ``python -m ipaq_index.serve INDEX --api-key-file FILE``."""

import argparse
import sys
from pathlib import Path

from ipaq_index.serve.keys import KeyRing
from ipaq_index.serve.limits import Limits
from ipaq_index.serve.service import create_app
from ipaq_index.serve.store import Store

DEFAULTS = Limits()


def main(argv: list[str] | None = None) -> int:
    """Serve until stopped; return the exit code (2 where arguments, keys or the index file are at fault)."""
    parser = argparse.ArgumentParser(prog="python -m ipaq_index.serve", description="Serve one index file over HTTP.")
    parser.add_argument("index", type=Path, help="a file written by ipaq_index.save")
    parser.add_argument("--api-key-file", type=Path, required=True, help="keys that clients may use, one a line")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--tls-cert", type=Path, help="certificate chain (PEM): serve HTTPS")
    parser.add_argument("--tls-key", type=Path, help="its private key (PEM)")
    parser.add_argument("--read-only", action="store_true", help="refuse additions and removals")
    parser.add_argument("--threads", type=int, help="threads of a search (default: all cores)")
    parser.add_argument("--max-body", type=int, default=DEFAULTS.body_bytes, help="bytes (default: %(default)s)")
    parser.add_argument("--max-queries", type=int, default=DEFAULTS.queries, help="a request (default: %(default)s)")
    parser.add_argument("--max-k", type=int, default=DEFAULTS.k, help="default: %(default)s")
    parser.add_argument("--max-waiting", type=int, default=DEFAULTS.waiting, help="queries (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=DEFAULTS.request_seconds, help="seconds (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        import uvicorn

        limits = Limits(
            body_bytes=arguments.max_body,
            queries=arguments.max_queries,
            k=arguments.max_k,
            waiting=arguments.max_waiting,
            request_seconds=arguments.timeout,
        )
        keys = KeyRing.read(arguments.api_key_file)
        store = Store.open(arguments.index)
        app = create_app(store, keys, limits, read_only=arguments.read_only, threads=arguments.threads)
    except ModuleNotFoundError as error:
        print(f"python -m ipaq_index.serve: {error}; pip install 'ipaq-index[serve]'", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"python -m ipaq_index.serve: {error}", file=sys.stderr)
        return 2
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        ssl_certfile=arguments.tls_cert,
        ssl_keyfile=arguments.tls_key,
        access_log=False,  # /metrics counts requests; a line each would cost more than a search
        limit_concurrency=4 * limits.waiting,
        timeout_keep_alive=5,
        h11_max_incomplete_event_size=16 << 10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
