#!/bin/sh
# Makes the pocket model from nothing: autoencoder on colours, on tiles, on whole pictures, then UNet and text encoder, then its measures.
# Every stage goes on where it was stopped, so run it again after Ctrl-C, a crash or a restart, until it says that it is done.
#
#     examples/train-pocket/train.sh [FOLDER]        (default: pocket-run; data in FOLDER/data)
set -e
repository=$(cd "$(dirname "$0")/../.." && pwd)
recipes=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-pocket-run}"
cd "${1:-pocket-run}"
threads=${THREADS:-2}

run() { node --import "$repository/tools/typescript.mjs" "$@"; }
sd() { run "$repository/src/cli/main.ts" "$@"; }
train() { sd train --config "$recipes/$1.yaml" --run "$2" --resume --report --threads "$threads"; }

if [ ! -f data/captioned/metadata.jsonl ]; then
  npm install --prefix emoji --no-audit --no-fund @lobehub/fluent-emoji-3d emojibase-data
  run "$recipes/prepare-data.ts" emoji/node_modules data
fi
train autoencoder-colours ae0
train autoencoder-tiles ae1
train autoencoder-pictures ae2
train pocket pocket
run "$recipes/train-features.ts" data/pictures features.safetensors 600 "$threads"
sd eval reconstruction --model ae2/model.safetensors --real data/captioned --output eval
sd eval guidance --model pocket/model.safetensors --real data/captioned --features features.safetensors --sampler ddim --steps 25 --output eval
echo "The model is $(pwd)/pocket/model.safetensors and .yaml; its measures are in $(pwd)/eval."
