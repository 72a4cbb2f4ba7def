#!/bin/sh
# Runs the tests in two halves side by side: what waits for browsers, servers and commands, and the
# rest. Together they keep two cores busy; the first half's report is printed at the end.
set -u
bin=$1
slow="tests/browser tests/cli tests/openai_api"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
rest=$(for path in tests/*/ tests/test_*.py; do
    case " $slow " in *" ${path%/} "*) ;; *) [ "$path" = tests/__pycache__/ ] || echo "${path%/}" ;; esac
done)
# shellcheck disable=SC2086 - words are meant
"$bin/python" -m pytest $slow >"$report" 2>&1 &
first=$!
# shellcheck disable=SC2086
"$bin/python" -m pytest $rest
second_failed=$?
wait "$first"
first_failed=$?
cat "$report"
[ "$first_failed" = 0 ] && [ "$second_failed" = 0 ]
