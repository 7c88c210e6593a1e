#!/bin/sh
# Counts words on nodes with GNU Parallel: run.sh [USER@]NODE...
# The program is `flowhost` of the search path, unless FLOWHOST names another.
set -eu
flowhost=$(command -v "${FLOWHOST:-flowhost}") || { echo "run.sh: there is no ${FLOWHOST:-flowhost}" >&2; exit 1; }
[ $# -gt 0 ] || { echo "usage: run.sh [USER@]NODE..." >&2; exit 2; }
examples=$(cd "$(dirname "$0")/.." && pwd)
guest=$examples/wordcount/guest
cargo build --quiet --release --target wasm32-wasip2 --manifest-path "$guest/Cargo.toml" --target-dir "$guest/target"

# All that goes to the nodes lies in one folder, since Parallel keeps relative paths.
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$flowhost" "$stage/flowhost"
cp "$guest/target/wasm32-wasip2/release/text.wasm" "$examples"/review/texts/*.txt "$stage"
cd "$stage"

# A text may be empty, or end with any number of line ends, of which `$(...)` drops all: a mark behind them keeps them.
parallel --sshlogin "$(IFS=,; echo "$*")" --workdir "flowhost-parallel-$$" \
    --basefile flowhost --basefile text.wasm --transferfile {} --return {}.json --cleanup --retries 2 \
    'text=$(cat {}; echo .); ./flowhost call text.wasm#count-words --with path={} --with text="${text%.}" --output {}.json' \
    ::: *.txt

# What the nodes counted is added up here.
printf '{"parts":[%s]}' "$(cat ./*.txt.json | paste -sd, -)" |
    ./flowhost call text.wasm#merge-counts --input - --output counts.json
printf '{"limit":5,"counts":%s}' "$(cat counts.json)" | ./flowhost call text.wasm#top-words --input -
mkdir -p "$examples/parallel/out"
mv counts.json "$examples/parallel/out/counts.json"
