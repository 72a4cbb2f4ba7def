#!/bin/sh
# Runs the tests in two halves side by side: what waits for browsers, servers and commands, and the
# rest, of which the store's run on PostgreSQL once more (all of them: make test-postgres). Together
# they keep two cores busy; the rest's report is printed at the end. It is the half in the background,
# since what a shell starts there cannot be interrupted, as tests of commands do.
set -u
bin=$1
slow="tests/browser tests/cli tests/openai_api"
stored="tests/store"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
rest=$(for path in tests/*/ tests/test_*.py; do
    case " $slow " in *" ${path%/} "*) ;; *) [ "$path" = tests/__pycache__/ ] || echo "${path%/}" ;; esac
done)
again() {
    [ "${SIMPLE_BATCH_TEST_DATABASE:-}" != postgresql ] || return 0
    "$bin/python" -c "import sys; from tests import postgres; sys.exit(postgres.programs() is None)" || return 0
    echo "on PostgreSQL: $stored"
    # shellcheck disable=SC2086 - words are meant
    SIMPLE_BATCH_TEST_DATABASE=postgresql "$bin/python" -m pytest $stored
}
# shellcheck disable=SC2086
{ "$bin/python" -m pytest $rest && again; } >"$report" 2>&1 &
other=$!
# shellcheck disable=SC2086
"$bin/python" -m pytest $slow
slow_failed=$?
wait "$other"
rest_failed=$?
cat "$report"
[ "$slow_failed" = 0 ] && [ "$rest_failed" = 0 ]
