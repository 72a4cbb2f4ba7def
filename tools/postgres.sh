#!/bin/sh
# Sees to it that the tests find PostgreSQL's programs: those installed, else Debian's package where it
# may be installed. The tests start their own server; one that the package would start is not
# wanted. Where there is none the tests on it are left out, and this says so.
set -eu
found() {
    command -v pg_ctl >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1
}
found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's postgresql" >&2
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/simple-batch.conf
    apt-get install -y -qq postgresql >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null && apt-get install -y -qq postgresql >/dev/null 2>&1; } || true
fi
found || echo "left out: the tests on PostgreSQL (its package “postgresql” is not here)" >&2
