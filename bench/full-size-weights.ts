/**
 * Writes full-size checkpoints with made-up weights. `--model v1` (the default) is the one of the reference set, byte for byte as
 * `full-size-weights.py` writes it, without Python; the other models have the names and shapes of `fixtures/families/keys`. A Stable Diffusion v1
 * file of 4.3 GB (f32) or 2.1 GB (f16) with made-up weights. It means nothing as a model; it is for parity and speed at full size.
 *
 *     node --import ./tools/typescript.mjs bench/full-size-weights.ts --out FILE.safetensors [--model sdxl-base] [--dtype f32|f16] [--only PREFIX]… [--seed N]
 *     sd inspect FILE.safetensors
 *     sd txt2img x --model FILE.safetensors --precision int8 --W 256 --H 256 --steps 1 --scale 1 --output x.png
 */

import { open } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { convert } from '../src/tensor/convert.ts';
import { bytesOf, elementCount, float32, type Tensor } from '../src/tensor/tensor.ts';
import { fillMadeUp, realTensors, recordedSeed } from './full-size-rule.ts';
import { listedTensors } from './key-lists.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    model: { type: 'string', default: 'v1' },
    dtype: { type: 'string', default: 'f32' },
    only: { type: 'string', multiple: true },
    seed: { type: 'string', default: String(recordedSeed) },
  },
});
const { out, only } = values;
const half = values.dtype === 'f16';
const seed = Number(values.seed);
if (out === undefined || !['f16', 'f32'].includes(values.dtype))
  throw new Error(
    'Usage: full-size-weights.ts --out FILE.safetensors [--model NAME] [--dtype f32|f16] [--only PREFIX] [--seed N]',
  );

/** Elements made at a time. */
const pieceLength = 2 ** 20;

const keys = [...listedTensors(values.model)]
  .filter(([name]) => !only || only.some((prefix) => name.startsWith(prefix)))
  .map(([name, { shape, dtype }]) => [name, shape, dtype] as const);
if (keys.length === 0) throw new Error(`No tensor's name begins with ${only?.join(' or ')}.`);

const header: Record<string, unknown> = {
  __metadata__: { format: 'pt', generator: `full-size-weights.py seed ${seed}` },
};
let end = 0;
for (const [name, shape, dtype] of keys) {
  const begin = end;
  end += elementCount(shape) * (dtype === 'I64' ? 8 : half ? 2 : 4);
  header[name] = { dtype: dtype === 'I64' ? dtype : half ? 'F16' : 'F32', shape, data_offsets: [begin, end] };
}
const text = Buffer.from(JSON.stringify(header));
const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
head.writeBigUInt64LE(BigInt(head.length - 8));
text.copy(head, 8);

const real = realTensors();
const positions = [...real].find(([name]) => name.endsWith('.position_ids'))?.[1];

/** A tensor's values, some at a time. The memory of a piece is used again for the next. */
function* pieces(name: string, shape: readonly number[]): Generator<Tensor> {
  // Positions lie under the name of each family's text encoder.
  const known = real.get(name) ?? (name.endsWith('.position_ids') ? positions : undefined);
  if (known) return yield known;
  const piece = new Float32Array(pieceLength);
  const count = elementCount(shape);
  for (let start = 0; start < count; start += pieceLength) {
    const part = piece.subarray(0, Math.min(pieceLength, count - start));
    fillMadeUp(part, name, shape, seed, start);
    yield float32([part.length], part);
  }
}

const file = await open(out, 'w');
try {
  await file.write(head);
  for (const [name, shape] of keys) {
    for (const piece of pieces(name, shape))
      await file.write(bytesOf(half && piece.dtype === 'float32' ? convert(piece, 'float16') : piece));
  }
} finally {
  await file.close();
}
console.log(`${out}: ${keys.length} tensors, ${head.length + end} bytes`);
