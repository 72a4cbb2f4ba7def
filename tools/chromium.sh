#!/bin/sh
# Sees to it that the browser tests find a browser: an installed Chromium or Chrome, else Debian's
# package where it may be installed, else Playwright's own download.
set -eu
bin=$1
# most tests need no window: Debian's shell without one uses a fifth less CPU time
if [ "$(id -u)" = 0 ] && ! command -v chromium-headless-shell >/dev/null 2>&1 &&
    apt-cache show chromium-headless-shell >/dev/null 2>&1; then
    apt-get install -y -qq chromium-headless-shell >/dev/null 2>&1 || true
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
[ -d "/Applications/Google Chrome.app" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's chromium and a font for Chinese" >&2
    if apt-get install -y -qq chromium fonts-noto-cjk >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null && apt-get install -y -qq chromium fonts-noto-cjk >/dev/null; }; then
        exit 0
    fi
fi
"$bin/python" -m playwright install chromium
