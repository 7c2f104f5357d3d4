/**
 * One side of the full-size benchmark: this package as it is installed (`npm run build` first). Loads one network of a checkpoint, runs it, and
 * prints one line of JSON as the peers (bench/peers/sd_v1.py) do: seconds to load, seconds and processor seconds of each run, peak memory of the
 * process, a fingerprint of the output. Plain JavaScript, so that no loader is in the measured process.
 *
 *     node bench/full-size-network.mjs unet|vae|text CHECKPOINT.safetensors [runs] [size] [threads] [precision] [OUTPUT.f32]
 *         [--batch N] [--token-merging R]
 *
 * A batch of the UNet is one of samples: two (the default) are one picture with guidance.
 *
 * With a file for the output, another run's output can be compared with it: `output.error` is then the root mean square of the difference
 * over that of the values in the file; the file is written where it does not exist.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createNodeEngine } from 'stable-diffusion-ts/engine/node';
import { networkDefinition } from 'stable-diffusion-ts/models';
import { float32, tensor } from 'stable-diffusion-ts/tensor';
import { openCheckpointAt } from 'stable-diffusion-ts/weights/node';
import { tokenMerging } from '../dist/extensions/token-merging.js';

/** The inputs that every side computes on: waves, so that nobody needs another's random numbers. */
function wave(shape, frequency) {
  const count = shape.reduce((product, size) => product * size, 1);
  return float32(
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * frequency) * 1.5),
  );
}

const { positionals, values } = parseArgs({
  options: { batch: { type: 'string', default: '2' }, 'token-merging': { type: 'string' } },
  allowPositionals: true,
});
const [part = '', file = '', runs = '3', size = '512', threads = '2', precision = 'float32', compared = ''] =
  positionals;
const side = Number(size) / 8;
const batch = Number(values.batch);
const ratio = values['token-merging'];

/** The vector of SDXL: a pooled text, and the sizes of a picture without a crop, each in cosines and sines. */
function vectorOf({ adm_in_channels: channels }, { embedders }) {
  const { width } = embedders.find(({ kind }) => kind === 'sizes');
  const pooled = wave([batch, channels - 6 * width], 37.719);
  const half = width / 2;
  const sizes = [Number(size), Number(size), 0, 0, Number(size), Number(size)].flatMap((value) => {
    const angles = Array.from({ length: half }, (_, i) => value * Math.exp((-Math.log(10000) * i) / half));
    return [...angles.map(Math.cos), ...angles.map(Math.sin)];
  });
  const share = pooled.data.length / batch;
  const rows = Array.from({ length: batch }, (_, i) => [...pooled.data.subarray(i * share, (i + 1) * share), ...sizes]);
  return float32([batch, channels], Float32Array.from(rows.flat()));
}

/** With guidance the UNet and the text encoder see two samples. */
const networks = {
  unet: {
    of: 'unet',
    stage: 'unet_config',
    graph: 'forward',
    output: 'out',
    inputs: (config, { cond_stage_config: conditioner }) => ({
      x: wave([batch, 4, side, side], 12.9898),
      timesteps: float32([batch], new Array(batch).fill(500)),
      context: wave([batch, 77, config.context_dim], 78.233),
      ...(config.adm_in_channels ? { y: vectorOf(config, conditioner) } : {}),
    }),
  },
  vae: {
    of: 'first_stage',
    stage: 'first_stage_config',
    graph: 'decode',
    output: 'decoded',
    inputs: () => ({ z: wave([1, 4, side, side], 12.9898) }),
  },
  text: {
    of: 'cond_stage',
    stage: 'cond_stage_config',
    graph: 'forward',
    output: 'last_hidden_state',
    inputs: () => ({
      input_ids: tensor(
        'int64',
        [2, 77],
        BigInt64Array.from({ length: 2 * 77 }, (_, i) => (i % 77 === 0 ? 49406n : 49407n)),
      ),
    }),
  },
};

/** Graphs with merged tokens are of one size. */
const merging = (share) => ({ extensions: [tokenMerging({ ratio: share })], size: [side, side] });

async function load({ of, stage, graph, output, inputs }) {
  const engine = createNodeEngine({ threads: Number(threads) });
  const checkpoint = await openCheckpointAt(file);
  const config = checkpoint.config[stage];
  const program = await engine.compile(
    networkDefinition(config)
      .parts(config)
      [graph]({ outputs: [output], ...(ratio ? merging(Number(ratio)) : {}) }),
    checkpoint.parts[of],
    { precision },
  );
  await checkpoint.close();
  return { engine, program, inputs: inputs(config, checkpoint.config) };
}

const network = networks[part];
if (!network) throw new Error(`There is no network ${part} to measure.`);
let start = performance.now();
const { engine, program, inputs } = await load(network);
const result = { side: 'stable-diffusion-ts', precision, load: (performance.now() - start) / 1000, runs: [], cpu: [] };
let data = new Float32Array();
for (let i = 0; i < Number(runs); i++) {
  const before = process.cpuUsage();
  start = performance.now();
  ({ data } = (await program.run(inputs))[network.output]);
  result.runs.push((performance.now() - start) / 1000);
  const { user, system } = process.cpuUsage(before);
  result.cpu.push((user + system) / 1e6);
}
const mean = (f) => data.reduce((total, value) => total + f(value), 0) / data.length;
result.output = {
  mean: mean((value) => value),
  rms: Math.sqrt(mean((value) => value * value)),
  first: [...data.subarray(0, 4)],
};
if (compared && existsSync(compared)) {
  const bytes = readFileSync(compared);
  const want = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const square = (values) => values.reduce((total, value) => total + value * value, 0);
  result.output.error = Math.sqrt(square(data.map((value, i) => value - want[i])) / square(want));
} else if (compared) writeFileSync(compared, data);
result.peak_bytes = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify(result));
await engine.dispose();
