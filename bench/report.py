"""Prints the figures."""

from .limited_jobs import DEMO, DEMO_TARGET, MOST_CALLS, PAUSED, ROWS


def overhead(part: dict) -> None:
    print(f"\nOverhead: {part['count']:,} requests, 100 in flight, endpoint without delay")
    rows = part["rows"]
    _table(rows)
    mine = rows["simple_batch"]
    print(f"CPU per request over the bare aiohttp loop: {_cpu_ratio(rows):.2f} (mark: 2.0)")
    for name, label, mark in (
        ("openai", "AsyncOpenAI", 10),
        ("async-batch-llm", "async-batch-llm", 10),
        ("litellm", "LiteLLM", 15),
    ):
        if name in rows:
            ratio = mine["per_second"] / rows[name]["per_second"]
            print(f"requests per second over {label}: {ratio:.1f} (mark: {mark})")
    if "page_ms" in mine:
        print(f"job page while it runs, median: {mine['page_ms']:.0f} ms")


def tls(part: dict) -> None:
    print(f"\nThe same over TLS: {part['count']:,} requests")
    _table(part["rows"])
    print(f"CPU per request over the bare aiohttp loop: {_cpu_ratio(part['rows']):.2f} (mark: 2.0)")


def streams(part: dict) -> None:
    print(f"\nStreams: {part['count']:,} requests, 100 in flight, answers of 60 words in 63 events")
    rows = part["rows"]
    _table(rows)
    share = rows["always"]["per_second"] / rows["never"]["per_second"]
    print(f"requests per second with streams over those without: {share:.0%} (mark: 60%)")


def embeddings(part: dict) -> None:
    print(f"\nEmbeddings: {part['count']:,} requests, 20 ms a call, 20 calls in flight")
    rows = part["rows"]
    _table(rows)
    ratio = rows["packed"]["per_second"] / rows["one by one"]["per_second"]
    print(f"requests per second packed over one by one: {ratio:.1f}")


def databases(part: dict) -> None:
    print(f"\nDatabases: {part['count']:,} requests, 100 in flight, endpoint without delay")
    rows = part["rows"]
    if not rows:
        print("PostgreSQL is not installed")
        return
    _table(rows)
    ratio = rows["postgresql"]["cpu_ms"] / rows["sqlite"]["cpu_ms"]
    print(f"CPU per request on PostgreSQL over SQLite: {ratio:.2f} (mark: 1.5)")


def width(part: dict) -> None:
    print(f"\nWidth: {part['count']:,} requests, {part['wide']:,} in flight")
    rows = part["rows"]
    _table(rows)
    ratio = rows["simple_batch"]["per_second"] / rows["aiohttp"]["per_second"]
    print(f"requests per second over the bare aiohttp loop: {ratio:.2f} (mark: 1.0)")
    print(f"of the ideal: {part['of_ideal']:.0%} (mark: 85%)")
    print(
        f"{part['widest']:,} in flight: {part['kb_per_call_in_flight']:.1f} kB per request in "
        f"flight (mark: 60), {part['peak_mb']:.0f} MB at most"
    )


def finding(part: dict) -> None:
    print(f"\nFinding the limit: {part['seconds']:.0f} s, nothing configured (the others are)")
    print(f"{'':34}{'used of allowed':>16}{'refused':>10}{'calls':>8}")
    for limit, tools in part["rows"].items():
        for tool, row in tools.items():
            used = "–" if row["used"] is None else f"{row['used']:.1%}"
            print(f"{limit:14}{tool:20}{used:>16}{row['refused']:10.2%}{row['calls']:8,}")


def faults(part: dict) -> None:
    print(f"\nFaults: {part['count']:,} requests, 200 in flight, 300 to 400 ms, no limit")
    tools = ("simple_batch", "before", "aiohttp-retries", "openai")
    print(f"{'':44}{'target':>10}" + "".join(f"{tool:>20}" for tool in tools))
    for name, row in part["rows"].items():
        target = f"≤ {row['target']:g} s" if row["quick"] else f"≥ {row['target']:.0%}"
        print(f"{name:44}{target:>10}" + "".join(f"{_of_ideal(row, tool):>20}" for tool in tools))
    print(f"(Rows with seconds: {part['quick_count']} requests of 50 ms.)")


def limits(part: dict) -> None:
    print(
        f"\nJobs on limits that they do not know: {part['seconds']:.0f} s, or as long as they take"
    )
    for name, row in part["rows"].items():
        print(f"{name:44}{'; '.join(_beside_targets(name, row))}")


def _beside_targets(name: str, row: dict) -> list[str]:
    if name == PAUSED:
        return [f"{row['calls']} calls until it pauses (target: {MOST_CALLS} at most)"]
    if name == DEMO:
        speed = f"{row['per_s']:.0f}/s, {row['used']:.0%} of the pace of its endpoint"
        return [f"{speed} (target: {DEMO_TARGET:.0%})"]
    target = ROWS[name]
    found = []
    if target.used is not None:
        used = "–" if row["used"] is None else f"{row['used']:.1%}"
        found.append(f"{used} used (target: {target.used:.0%})")
    if target.refused is not None:
        found.append(f"{row['refused']:.2%} refused (target: {target.refused:.0%} at most)")
    if target.most_refused is not None:
        refused = f"{row['number_refused']} of {row['calls']} refused"
        found.append(f"{refused} (target: {target.most_refused} at most)")
    if target.seconds is not None:
        found.append(f"{row['seconds']:.0f} s (target: {target.seconds:.0f} s at most)")
    return found


def caches(part: dict) -> None:
    print(
        f"\nPrompt caches: {part['count']:,} requests with one prefix of 2,000 tokens, 100 in flight, "
        f"{part['latency_s']:g} s a call in the mean"
    )
    print(f"{'':26}{'cached input':>14}{'overflowed':>12}{'seconds':>10}")
    for name, row in part["rows"].items():
        print(f"{name:26}{row['share']:14.1%}{row['overflowed']:12,}{row['seconds']:10.1f}")
    print(f"with keys: {part['rows']['by prefix, with keys']['share']:.0%} (mark: 75%)")


def _of_ideal(row: dict, tool: str) -> str:
    found = row.get(tool)
    if not found or not found["seconds"]:
        return "–"
    if row["quick"]:
        return f"{found['good']} in {found['seconds']:.1f} s"
    per_s = found["good"] / found["seconds"]
    return f"{per_s:.0f}/s {per_s / row['ideal_per_s']:.0%}"


def cluster_limits(part: dict) -> None:
    print(f"\nOne limit for several workers: {part['seconds']:.0f} s each")
    print(f"{'':52}{'used of allowed':>16}{'refused':>10}{'at once':>9}{'Redis commands/call':>21}")
    for name, row in part["rows"].items():
        print(
            f"{name:52}{row['used']:16.1%}{row['refused']:10.2%}{row['most']:9}{row['commands']:21.2f}"
        )


def growth(part: dict) -> None:
    print(f"\nGrowth: pages of a job of {part['rows']:,} requests")
    for name, took in part["pages_ms"].items():
        print(f"  {name:28}{took:8.1f} ms")
    print(f"{'requests':>12}{'ms each':>10}{'CPU ms':>10}{'peak memory, MB':>18}")
    for size, peak in part["peak_mb"].items():
        print(f"{int(size):12,}{part['ms'][size]:10.3f}{part['cpu_ms'][size]:10.3f}{peak:18.1f}")


def pages(part: dict) -> None:
    print(f"\nPages of a job of {part['rows']:,} requests while another runs")
    for name, took in part["pages_ms"].items():
        print(f"  {name:28}{took:8.1f} ms")
    print(
        f"all {part['count']:,} pages: median {part['p50_ms']:.0f} ms (mark: 150), "
        f"99th percentile {part['p99_ms']:.0f} ms (mark: 400)"
    )
    print(f"requests per second meanwhile: {part['requests_per_s']:,.0f}")


def grid(part: dict) -> None:
    print(f"\nResults grid of a job of {part['rows']:,} requests while another runs")
    for name, took in part["ms"].items():
        target = part["targets_ms"].get(name)
        mark = f"   (mark: {target})" if target else ""
        print(f"  {name:36}{took:8.1f} ms, at worst {part['worst_ms'][name]:8.1f}{mark}")
    print(f"sort keys of two columns built in {part['keys_s']:.0f} s")


def scrolling(part: dict) -> None:
    marks = part["targets"]
    print(f"\nResults grid of a job of {part['rows']:,} requests in Chromium while another runs")
    print(f"first rows painted after {part['painted_ms']:.0f} ms (mark: {marks['painted_ms']})")
    print(
        f"scrolling through {part['scrolled']:,} rows: {part['frames_per_s']:.1f} frames per second "
        f"(mark: {marks['frames_per_s']}), {100 * part['late']:.1f} % late; a plain table of the same cells: "
        f"{part['plain_frames_per_s']:.1f}, {100 * part['plain_late']:.1f} % late"
    )


def workbench(part: dict) -> None:
    print(f"\nWorkbench on a table of {part['rows']:,} rows in Chromium while another job runs")
    for sample in part["samples"]:
        print(
            f"preview of {sample['rows']:2} rows after the last key: {sample['preview_ms']:.0f} ms (mark: "
            f"{part['targets']['preview_ms']}), at worst {sample['slowest_ms']:.0f}"
        )


def files(part: dict) -> None:
    print(f"\nIn and out: {part['rows']:,} requests, beside a loop that re-encodes the lines")
    for name in ("import", "table", "export"):
        if f"{name}_s" not in part:
            continue  # an older result
        mine = part[f"{name}_s"]
        loops = ", ".join(
            f"the {library} loop {took:.1f} s ({took / mine:.2f} of its speed)"
            for library, took in part[f"{name}_bare_s"].items()
        )
        print(f"{name}: {mine:.1f} s; {loops} (mark: 0.33)")
    if took := part.get("export_as_s"):
        print(
            "export as " + ", ".join(f"{form}: {seconds:.1f} s" for form, seconds in took.items())
        )
    for name, peaks in part.get("peak_mb", {}).items():
        at = ", ".join(f"{peak:.0f} MB at {int(rows):,} rows" for rows, peak in peaks.items())
        print(f"  {name:8} peak memory {at}")


def batches(part: dict) -> None:
    print(f"\nBatches of a provider: {part['requests']:,} requests, CPU seconds")
    cut, merge = part["cut_s"], part["merge_s"]
    loop, kept = part["cut_bare_s"], part["cut_kept_s"]
    print(
        f"cutting: {cut:.1f} s; a loop that re-encodes the lines {loop:.1f} s ({loop / cut:.2f} of its speed), "
        f"one that reads and notes them in SQLite {kept:.1f} s ({kept / cut:.2f})"
    )
    loop, kept = part["merge_bare_s"], part["merge_kept_s"]
    print(
        f"merging: {merge:.1f} s; the same loop {loop:.1f} s ({loop / merge:.2f} of its speed), one that keeps "
        f"the same rows in SQLite {kept:.1f} s ({kept / merge:.2f})"
    )
    at = ", ".join(f"{grew:.0f} MB at {int(size):,}" for size, grew in part["grew_mb"].items())
    print(f"  memory grew by {at}")


def batch_api(part: dict) -> None:
    print(f"\nBatch API: a file of {part['file_bytes'] / 1e6:,.0f} MB")
    print(
        f"upload: {part['upload_s']:.1f} s, the server's memory grew by "
        f"{part['upload_grew_mb']:.0f} MB"
    )
    print(f"create from it: answered after {part['create_ms']:.0f} ms (mark: 100)")
    print(
        f"list of {part['batches']:,} batches by 100: slowest page {part['list_worst_ms']:.0f} ms "
        f"(mark: 100); a create, median: {part['create_median_ms']:.0f} ms"
    )
    print(
        f"output file of {part['rows']:,} requests: {part['output_mb']:.0f} MB in "
        f"{part['output_s']:.1f} s, memory grew by {part['output_grew_mb']:.0f} MB"
    )


def cluster(part: dict) -> None:
    print(
        f"\nWorkers: {part['count']:,} requests, {part['delay_s']} s a call, {part['wide']} calls in "
        "flight of each"
    )
    rows = part["rows"]
    if not rows:
        print("PostgreSQL or Redis is not installed")
        return
    print(
        f"{'workers':>10}{'seconds':>10}{'times':>8}{'CPU ms':>9}{'transactions':>14}"
        f"{'Redis commands':>16}{'PostgreSQL CPU ms':>19}   (each request)"
    )
    first = next(iter(rows.values()))
    for workers, row in rows.items():
        print(
            f"{workers:>10}{row['seconds']:10.1f}{first['seconds'] / row['seconds']:8.2f}"
            f"{row['cpu_ms']:9.3f}{row['transactions']:14.3f}{row['commands']:16.3f}"
            f"{row['database_cpu_ms']:19.3f}"
        )
    alone = part["alone"]
    print("marks: 1.9 times by two, 3.6 by four; 0.1 transactions, 0.5 commands")
    print(
        f"the single process on SQLite: {alone['seconds']:.1f} s, {alone['cpu_ms']:.3f} ms; a worker's "
        f"CPU over that: {max(r['cpu_ms'] for r in rows.values()) / alone['cpu_ms']:.2f} (mark: 1.5)"
    )


_STARTUP_MARKS = {  # CPU seconds; of serve the seconds until it is ready
    "simple-batch --help": ("cpu_s", 0.15),
    "simple-batch ls": ("cpu_s", 0.35),
    "run, to its first call": ("cpu_s", 0.6),
    "serve, to its first page": ("wall_s", 1.0),
}


def startup(part: dict) -> None:
    rows = part["rows"]
    bare, flask = (rows[name]["cpu_s"] for name in ("python -c pass", "import flask"))
    what = "an installation without extras" if part.get("installed") else "the checkout"
    print(f"\nStart of {what}: medians of {part['rounds']} rounds; the ratios are of CPU")
    print(f"{'':28}{'CPU s':>8}{'seconds':>9}{'over python':>13}{'over import flask':>19}   mark")
    for name, row in rows.items():
        kind, mark = _STARTUP_MARKS.get(name, ("", 0))
        words = f"{mark} s{' of CPU' if kind == 'cpu_s' else ''}" if mark else ""
        cpu = row["cpu_s"]
        print(
            f"{name:28}{cpu:8.3f}{row['wall_s']:9.3f}{cpu / bare:13.1f}{cpu / flask:19.2f}   {words}"
        )


def _cpu_ratio(rows: dict) -> float:
    return rows["simple_batch"]["cpu_ms"] / rows["aiohttp"]["cpu_ms"]


def _table(rows: dict) -> None:
    print(f"{'':18}{'per second':>12}{'CPU ms each':>13}{'peak MB':>10}")
    for name, row in rows.items():
        print(f"{name:18}{row['per_second']:12,.0f}{row['cpu_ms']:13.3f}{row['peak_mb']:10.0f}")
