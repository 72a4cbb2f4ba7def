#!/bin/sh
# Runs the tests in two halves side by side: what waits for browsers, servers and commands, and the
# rest. Together they keep two cores busy; the rest's report is printed at the end. It is the half in
# the background, since what a shell starts there cannot be interrupted, as tests of commands do.
set -u
bin=$1
slow="tests/browser tests/cli tests/openai_api"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
rest=$(for path in tests/*/ tests/test_*.py; do
    case " $slow " in *" ${path%/} "*) ;; *) [ "$path" = tests/__pycache__/ ] || echo "${path%/}" ;; esac
done)
# shellcheck disable=SC2086 - words are meant
"$bin/python" -m pytest $rest >"$report" 2>&1 &
other=$!
# shellcheck disable=SC2086
"$bin/python" -m pytest $slow
slow_failed=$?
wait "$other"
rest_failed=$?
cat "$report"
[ "$slow_failed" = 0 ] && [ "$rest_failed" = 0 ]
