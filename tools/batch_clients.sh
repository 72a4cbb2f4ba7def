#!/bin/sh
# Clients of the Batch API by others, for the test that drives them: two separate environments in
# .venv-clients, since their dependencies are neither ours nor each other's. Recreated when a list in
# tests/openai_api/clients changes. What cannot be installed is left out, and this says so.
# Argument: the Python to make them with.
set -eu
cd "$(dirname "$0")/.."
python=$1

install() {
    "$python" -m venv --clear "$2" &&
        # the lists are whole. batchata asks for a newer Python than it needs
        "$2/bin/pip" install -qq --disable-pip-version-check --no-deps --ignore-requires-python \
            --only-binary :all: -r "$1"
}

for name in curator others; do
    list=tests/openai_api/clients/$name.txt
    home=.venv-clients/$name
    cmp -s "$list" "$home/.installed" && continue
    echo "installing clients of the Batch API: $list" >&2
    if install "$list" "$home" >&2; then
        cp "$list" "$home/.installed"
    else
        rm -rf "$home"
        echo "left out: the tests by the clients in $list (pip could not install them)" >&2
    fi
done
