#!/bin/sh
# Fetches the front-end libraries, exact versions, with their licences, into static/vendor.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=static/vendor
rm -rf "$out"
mkdir -p "$out"

fetch() { # package version
    (cd "$work" && npm pack --silent "$1@$2" >/dev/null && mkdir -p "$3" && tar xzf ./*.tgz -C "$3" --strip-components=1 && rm ./*.tgz)
}
take() { # folder file...
    folder=$1
    shift
    mkdir -p "$out/$folder"
    for file in "$@"; do cp "$work/$folder/$file" "$out/$folder/"; done
}

fetch bootstrap 5.3.9 bootstrap
take bootstrap dist/css/bootstrap.min.css dist/js/bootstrap.bundle.min.js LICENSE
fetch htmx.org 2.0.11 htmx
take htmx dist/htmx.min.js LICENSE
fetch socket.io-client 4.8.4 socket.io
take socket.io dist/socket.io.min.js LICENSE
fetch echarts 6.1.0 echarts
take echarts dist/echarts.min.js LICENSE NOTICE
fetch @highlightjs/cdn-assets 11.12.0 highlight
take highlight highlight.min.js languages/json.min.js LICENSE
fetch katex 0.19.1 katex
take katex dist/katex.min.js dist/katex.min.css LICENSE
mkdir -p "$out/katex/fonts" # every browser that the pages support reads woff2
cp "$work"/katex/dist/fonts/*.woff2 "$out/katex/fonts/"

# Source maps are not shipped: do not ask for them.
sed -i.bak '/^\/\/# sourceMappingURL=/d; s|/\*# sourceMappingURL=.*\*/||' "$out"/*/*.js "$out"/*/*.css
rm -f "$out"/*/*.bak

cat >"$out/README.md" <<END
Libraries of others, unchanged but for their source map links. Made by tools/vendor.sh.

| library | version | licence |
|---|---|---|
| bootstrap | 5.3.9 | MIT |
| htmx.org | 2.0.11 | 0BSD |
| socket.io-client | 4.8.4 | MIT |
| echarts | 6.1.0 | Apache-2.0 (see NOTICE) |
| highlight.js | 11.12.0 | BSD-3-Clause |
| KaTeX, with its fonts | 0.19.1 | MIT |
END

# What a test compares the files with.
sum=$(command -v sha256sum || echo "shasum -a 256")
(cd "$out" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs $sum >SHA256SUMS)
