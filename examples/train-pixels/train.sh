#!/bin/sh
# Trains a model of pixels, a classifier that guides it and an upsampler on the emoji of examples/train-pocket, and makes grids with and without.
#   examples/train-pixels/train.sh DATA OUT [STEPS]
# DATA: the folder `data` that examples/train-pocket/train.sh makes. Without STEPS the configurations' own numbers. Stopped, it goes on where it was.
set -e
data=$1
out=$2
here=$(dirname "$0")
sd=${SD:-sd}
for part in diffusion classifier upsampler; do
  $sd train --config "$here/$part.yaml" --run "$out/$part" --resume --report \
    data.params.train.params.data_root="$data/pictures" ${3:+--steps "$3"}
done
sample() { $sd sample --model "$out/$1/model.safetensors" --count 16 --batch 16 --steps 50 --npz --seed 7 --outdir "$out/$2" $3; }
sample diffusion plain "--class 0,3,4,6"
sample diffusion guided "--class 0,3,4,6 --classifier $out/classifier/model.safetensors --classifier-scale 4"
node --import "$here/../../tools/typescript.mjs" "$here/pictures.ts" small "$data/pictures" "$out/small.npz"
sample upsampler enlarged "--base $out/small.npz"
node --import "$here/../../tools/typescript.mjs" "$here/pictures.ts" grids "$out"
