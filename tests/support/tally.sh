#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tally.sh TEST...: runs each test program, shows its result, and ends with
# the sum, `N passed, N failed[, N skipped]`; exits 1 unless all passed. Every
# test ends with such a line of its own; one that prints none, or exits with
# another status than its line says, counts as a failure. Fuzz targets
# (fuzz_*) run FUZZ_S seconds from a copy of their seeds and pass by surviving.
# A test longer than TEST_S seconds (600) is stopped and has failed.
# Environment for the tests: OUT and CRASH, the folders of the daemon and of
# the one with crash points.
set -u
passed=0 failed=0 skipped=0
OUT=${OUT:-build/none} CRASH=${CRASH:-build/crash}
export OUT CRASH
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
mkdir -p "$OUT/log"
wrap=
if [ "${SAN:-none}" = tsan ]; then
    # OpenBLAS is not instrumented: its own threads would look like races.
    export OPENBLAS_NUM_THREADS=1
    # Address space randomization beyond 28 bits breaks TSan's layout.
    ! setarch -R true 2>/dev/null || wrap='setarch -R'
fi

run_one() {
    case $1 in
    *.py) set -- python3 "$1" ;;
    */fuzz_*)
        name=$(basename "$1")
        corpus=$OUT/corpus/$name
        mkdir -p "$corpus"
        [ ! -d "tests/fuzz/corpus/$name" ] ||
            cp -r "tests/fuzz/corpus/$name/." "$corpus"
        "$1" -max_total_time="${FUZZ_S:-10}" -timeout=5 -rss_limit_mb=2048 \
            -artifact_prefix="$OUT/$name-" "$corpus" &&
            echo '1 passed, 0 failed'
        return
        ;;
    esac
    timeout -k 5 "${TEST_S:-600}" $wrap "$@" </dev/null
}

# The number before a word on the test's last result line, 0 without.
count() {
    n=$(echo "$line" | sed -n "s/.*\\b\\([0-9][0-9]*\\) $1.*/\\1/p")
    echo "${n:-0}"
}

for t in "$@"; do
    log=$OUT/log/$(echo "$t" | tr / _).log
    run_one "$t" >"$log" 2>&1
    rc=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' \
        "$log" | tail -n 1)
    p=$(count passed) f=$(count failed) s=$(count skipped) why=
    if [ -z "$line" ]; then
        f=1 why="ended with status $rc and no result"
    elif [ "$f" = 0 ] && [ $rc != 0 ]; then
        f=1 why="ended with status $rc"
    elif [ "$f" = 0 ] && [ "$p" = 0 ] && [ "$s" = 0 ]; then
        f=1 why='tested nothing'
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" = 0 ]; then
        echo "ok    $t: $p passed${s:+$([ "$s" = 0 ] || echo ", $s skipped")}"
        continue
    fi
    tail -n 60 "$log" | sed 's/^/      | /'
    echo "FAIL  $t: ${why:-$f failed} (whole output: $log)"
done
[ $skipped = 0 ] && more= || more=", $skipped skipped"
echo "$passed passed, $failed failed$more"
[ $failed = 0 ] && [ $# -gt 0 ]
