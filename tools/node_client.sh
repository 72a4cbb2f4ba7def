#!/bin/sh
# OpenAI's Node client for the test that drives it, reinstalled when package-lock.json changes.
# Without Node the test is left out, and says so.
set -eu
cd "$(dirname "$0")/../tests/openai_api/node"
if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
    echo "left out: the test by OpenAI's Node client (node and npm, 18 or newer, are not here)" >&2
    exit 0
fi
if ! cmp -s package-lock.json node_modules/.installed; then
    if npm ci --silent --no-audit --no-fund >&2; then
        cp package-lock.json node_modules/.installed
    else
        echo "left out: the test by OpenAI's Node client (npm could not install it)" >&2
    fi
fi
