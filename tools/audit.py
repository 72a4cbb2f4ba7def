"""Known vulnerabilities in what is installed, by pip-audit: python -m tools.audit

Ends with 1 where there are some. Where the index cannot be asked (offline, or a mirror without that
service), it says so and for how much, and ends with 0: nothing is known then, either way.
"""

import json
import subprocess  # nosec B404
import sys

_ASK = [sys.executable, "-m", "pip_audit", "--local", "--format=json", "--progress-spinner=off"]


def main() -> int:
    """The exit code."""
    done = subprocess.run(_ASK, capture_output=True, text=True, check=False)  # noqa: S603 # nosec B603
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"pip-audit: NOT CHECKED, the index cannot be asked from here: {why[:200]}")
        return 0
    unknown = [package for package in packages if "skip_reason" in package]
    found = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {flaw['id']}, mended in {fixed}")
    checked = len(packages) - len(unknown)
    if unknown:
        summary = (
            f"NOT CHECKED {len(unknown)} of {len(packages)}, the index does not know them from here"
        )
        print(f"pip-audit: {summary}; {len(found)} vulnerabilities in the other {checked}")
    else:
        print(f"pip-audit: {len(found)} vulnerabilities known in {checked} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
