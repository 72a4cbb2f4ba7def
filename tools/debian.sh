#!/bin/sh
# debian.sh PROGRAM PACKAGE TESTS: sees to it that tests find a program, the one installed or, where that
# may be done, Debian's package. They start it themselves. Where there is none they are left out, and this
# says so.
set -eu
program=$1 package=$2 tests=$3
found() {
    command -v "$program" >/dev/null 2>&1
}
found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's $package" >&2
    apt-get install -y -qq "$package" >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null && apt-get install -y -qq "$package" >/dev/null 2>&1; } || true
fi
found || echo "left out: $tests (its package “$package” is not here)" >&2
