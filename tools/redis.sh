#!/bin/sh
# Sees to it that the tests find redis-server: the one installed, else Debian's package where it may be
# installed. The tests start a server of their own. Where there is none the tests on it are left out,
# and this says so.
set -eu
found() {
    command -v redis-server >/dev/null 2>&1
}
found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's redis-server" >&2
    apt-get install -y -qq redis-server >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null && apt-get install -y -qq redis-server >/dev/null 2>&1; } || true
fi
found || echo "left out: the tests on Redis (its package “redis-server” is not here)" >&2
