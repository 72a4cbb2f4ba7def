"""Parts 1, 2 and 4: overhead, width, growth."""

import datetime
import ipaddress
import os
import tempfile
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import postgres

from .million import build_rows, page_times
from .processes import endpoint, has_competitors, run_competitor, run_simple_batch


def overhead(count: int) -> dict:
    """Send the same requests to the same endpoint, 100 in flight, with the program, a bare loop,
    and the tools."""
    with endpoint() as base_url:
        rows = {
            "simple_batch": {**run_simple_batch(base_url, count, 100, look=True), "count": count},
            "aiohttp": run_competitor("aiohttp", base_url, count, 100),
            "openai": run_competitor("openai", base_url, max(200, count // 10), 100),
        }
        if has_competitors():
            for name in ("async-batch-llm", "litellm"):
                rows[name] = run_competitor(name, base_url, max(200, count // 10), 100)
    return {"count": count, "rows": _per_call(rows)}


def overhead_tls(count: int) -> dict:
    """The same over TLS, with a certificate authority of the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        ca, certificate, key = make_ca(Path(folder))
        with endpoint("--tls", certificate, key) as base_url:
            rows = {
                "simple_batch": {**run_simple_batch(base_url, count, 100, ca=ca), "count": count},
                "aiohttp": run_competitor("aiohttp", base_url, count, 100, ca),
            }
    return {"count": count, "rows": _per_call(rows)}


def embeddings(count: int) -> dict:
    """Send embeddings of 256 dimensions to an endpoint that takes 20 ms per call, 20 calls in
    flight: 64 inputs per call, and one."""
    with endpoint("--delay", "0.02") as base_url:
        rows = {
            "packed": {**run_simple_batch(base_url, count, 20, embed=64), "count": count},
            "one by one": {**run_simple_batch(base_url, count, 20, embed=1), "count": count},
        }
    return {"count": count, "rows": _per_call(rows)}


def streams(count: int, turns: int) -> dict:
    """The same requests without and with streams, 100 in flight, in turns: the best of each."""
    rows: dict = {}
    with endpoint() as base_url:
        for _ in range(turns):
            for name in ("never", "always"):
                run = {**run_simple_batch(base_url, count, 100, stream=name), "count": count}
                rows[name] = min(rows.get(name, run), run, key=lambda row: row["seconds"])
    return {"count": count, "rows": _per_call(rows)}


def databases(count: int, turns: int) -> dict:
    """The same job on SQLite and on PostgreSQL, in turns."""
    rows: dict = {}
    found = {"count": count, "rows": rows}
    if postgres.programs() is None:
        return found
    server = postgres.server()
    with endpoint() as base_url:
        for _ in range(turns):
            for name in ("sqlite", "postgresql"):
                on = {"SIMPLE_BATCH_DATABASE_URL": server.create(server.template)}
                with mock.patch.dict(os.environ, on if name == "postgresql" else {}):
                    run = {**run_simple_batch(base_url, count, 100), "count": count}
                rows[name] = min(rows.get(name, run), run, key=lambda row: row["cpu_s"])
    _per_call(rows)
    return found


def width(count: int, wide: int, widest: int, delay_s: float) -> dict:
    """Send many calls at once to a slow endpoint."""
    found = {"count": count, "wide": wide, "widest": widest}
    with endpoint("--delay", str(delay_s)) as base_url:
        rows = {
            "simple_batch": {**run_simple_batch(base_url, count, wide), "count": count},
            "aiohttp": run_competitor("aiohttp", base_url, count, wide),
        }
        narrow = run_simple_batch(base_url, max(100, widest // 10), max(10, widest // 100))
        all_at_once = run_simple_batch(base_url, 2 * widest, widest)
    found["rows"] = _per_call(rows)
    found["of_ideal"] = rows["simple_batch"]["per_second"] * delay_s / wide
    more = widest - max(10, widest // 100)
    found["kb_per_call_in_flight"] = 1024 * (all_at_once["peak_mb"] - narrow["peak_mb"]) / more
    found["peak_mb"] = all_at_once["peak_mb"]
    return found


def growth(sizes: list[int], rows: int) -> dict:
    """Jobs of growing size, and the pages of the largest."""
    with tempfile.TemporaryDirectory() as folder:
        build_rows(folder, rows)
        pages = page_times(folder)
    with endpoint() as base_url:
        runs = {size: run_simple_batch(base_url, size, 100) for size in sizes}
    return {
        "rows": rows,
        "pages_ms": pages,
        "peak_mb": {str(size): run["peak_mb"] for size, run in runs.items()},
        "cpu_ms": {str(size): 1000 * run["cpu_s"] / size for size, run in runs.items()},
        "ms": {str(size): 1000 * run["seconds"] / size for size, run in runs.items()},
    }


def _per_call(rows: dict) -> dict:
    for row in rows.values():
        row["per_second"] = row["count"] / row["seconds"]
        row["cpu_ms"] = 1000 * row["cpu_s"] / row["count"]
    return rows


def make_ca(folder: Path) -> tuple[str, str, str]:
    """A certificate for 127.0.0.1 and the CA that signed it; → paths of CA, certificate, key."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(True, None))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = _certificate(name, ca_name, key, ca_key, address)
    pem = serialization.Encoding.PEM
    parts = {
        "ca.pem": ca.public_bytes(pem),
        "leaf.pem": leaf.public_bytes(pem),
        "key.pem": key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for file, data in parts.items():
        (folder / file).write_bytes(data)
    return tuple(str(folder / file) for file in parts)


def _certificate(subject, issuer, key, signer, extension):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )
