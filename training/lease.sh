#!/usr/bin/env bash
# One lease of a GPU machine, spent: shards are made by all processors but two while a base trains on them; weights and
# logs come to OUT, also when the machine is taken away in the middle. Stages A to C of docs/training.md.
#     bash training/lease.sh CORPUS SECONDS OUT [section.key=value ...]
# CORPUS is what `emend data build training/recipes/corpus-gpu.toml` wrote: tokenizer.json, packs/, valid-*.npy, and
# where there are some given/*.ids.npy: packed rows of real fixes (`write.tokenizer` of a dataset).
# docs/training.md, "A base on a rented GPU", says which variables there are.
set -euo pipefail
corpus=$(cd "$1" && pwd) seconds=$2 home=$3
shift 3
recipes=$(cd "$(dirname "$0")/recipes" && pwd)
python=${PYTHON:-python3}
jobs=${JOBS:-$(($(nproc) > 3 ? $(nproc) - 2 : 1))}
speed=${SPEED:-1000000}
work=out # of the recipes, in the current directory
mkdir -p "$home" "$work"
[ "$corpus" = "$(pwd)/$work/corpus" ] || ln -sfn "$corpus" "$work/corpus"

fixes=
given=0.0
for one in "$corpus"/given/*.ids.npy; do
    [ -e "$one" ] && fixes="--given $corpus/given/*.ids.npy" given=0.15
done
repair=$([ "$given" = 0.0 ] && echo 0.9 || echo 0.75)

# other settings make other shards: each have a folder, so that a rerun finds its own and no others
mkdir -p "$work/arriving-$seconds-$speed-$given"
ln -sfn "arriving-$seconds-$speed-$given" "$work/arriving"
cp "$corpus/tokenizer.json" "$work/arriving/"

# no fewer tokens than a stage will read, in the proportion of the stages' minutes
tokens() { echo $((seconds * speed / 1000 * $1)); }
# shellcheck disable=SC2086 - no pattern where there are no fixes
OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false "$python" -m data.arriving "$work/arriving" \
    --packs "$corpus"/packs/*.jsonl.xz --tokenizer "$corpus/tokenizer.json" --jobs "$jobs" ${SHARD:+--shard "$SHARD"} \
    --stream "a:$(tokens 294):code=0.6,holes=0.4" \
    --stream "b:$(tokens 588):code=0.25,holes=0.15,repair=0.6" \
    --stream "c:$(tokens 118):code=0.1,repair=$repair${fixes:+,given=$given}" $fixes 2>"$work/arriving.log" &
making=$!
sleep 4 # what it refuses it refuses at once
kill -0 $making 2>/dev/null || wait $making || { cat "$work/arriving.log" >&2 && exit 2; }
trap 'kill $making 2>/dev/null || true' EXIT INT TERM

status=0
"$python" -m training.lease --seconds "$seconds" --export "$home/weights" --trial-seconds "${TRY:-60}" \
    "$recipes/base-gpu-a.toml" "$recipes/base-gpu-b.toml" "$recipes/base-gpu-c.toml" \
    "$@" 2>&1 | tee "$home/lease.log" || status=$?
(cd "$work" && find . -maxdepth 2 \( -name metrics.jsonl -o -name lease.json -o -name tried.json -o -name arriving.log \) | sort) |
    tar -czf "$home/metrics.tar.gz" -C "$work" -T -
exit $status
