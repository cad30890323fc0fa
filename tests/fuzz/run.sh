#!/usr/bin/env bash
# Runs fuzz targets one after another, each for FUZZ_SECONDS (600). Without names: all of them.
# Ends at the first finding, whose input stays in tests/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
fuzz=tests/fuzz
seconds=${FUZZ_SECONDS:-600}
cargo=${CARGO:-cargo}

if [ $# = 0 ]; then
    for path in "$fuzz"/targets/*.rs; do
        set -- "$@" "$(basename "$path" .rs)"
    done
fi
"$cargo" +nightly fuzz build --fuzz-dir "$fuzz"

for target in "$@"; do
    corpus=$fuzz/corpus/$target
    mkdir -p "$corpus" "$fuzz/seeds/$target"
    flags=()
    if [[ $target = sdp_* ]]; then
        # The fixtures without the lines that say where they come from.
        for fixture in tests/fixtures/sdp/*.sdp*; do
            sed '/^#/d' "$fixture" >"$corpus/$(basename "$fixture")"
        done
        flags=(-dict="$fuzz/sdp.dict")
    fi
    echo "==> $target for $seconds s"
    "$cargo" +nightly fuzz run --fuzz-dir "$fuzz" "$target" "$corpus" "$fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 "${flags[@]}"
done
