#!/bin/sh
# Brings the translations up to date with the code and compiles them.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
pot=$(mktemp)
trap 'rm -f "$pot"' EXIT
"$bin/pybabel" -q extract -F babel.cfg -k lazy_gettext -k _ -k translatable -k stored_message -k stored_part -o "$pot" --no-location .
dir=simple_batch/core/translations
if [ -f "$dir/zh/LC_MESSAGES/messages.po" ]; then
    "$bin/pybabel" -q update -i "$pot" -d "$dir" -l zh --no-fuzzy-matching
else
    "$bin/pybabel" -q init -i "$pot" -d "$dir" -l zh
fi
"$bin/pybabel" -q compile -d "$dir" -l zh
