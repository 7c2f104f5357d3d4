/**
 * A step of SDXL's UNet with guidance at 1024 x 1024, in float32 and int8, beside OpenVINO in float32 and bfloat16 and PyTorch/diffusers in bfloat16.
 * The sides take turns, each in a process of its own:
 *
 *     npm run build && node --import ./tools/typescript.mjs bench/xl-step.ts [--folder FOLDER] [--file FILE] [--size 1024] [--runs 2] [--rounds 1]
 *         [--threads 2] [--sides LIST]
 *
 * The folder (default `$SD_FULL_SIZE`, else build/full-size) holds the float16 checkpoint with made-up weights (7 GB) and what OpenVINO converts its
 * UNet to (5 GB); both are made when they are missing. Needs a quiet machine with 20 GB of memory. A small model is tried with its own `--file` and,
 * for the peers, `$SD_XL_UNET`.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Measured, madeUpCheckpoint, measure, median, warm } from './measured.ts';

const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: process.env['SD_FULL_SIZE'] ?? join(root, 'build/full-size') },
    file: { type: 'string' },
    size: { type: 'string', default: '1024' },
    runs: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '1' },
    threads: { type: 'string', default: '2' },
    sides: { type: 'string' },
  },
});
const { folder, size, runs, threads } = values;
const file = values.file ?? madeUpCheckpoint(folder, 'f16', 'sdxl-base');

const ours = (precision: string): readonly string[] => [
  ...[process.execPath, join(root, 'bench/full-size-network.mjs'), 'unet', file, runs, size, threads, precision],
];
const peer = (script: string, precision: string, ...more: readonly string[]): readonly string[] => [
  ...['python3', join(root, 'bench/peers', script), '--model', 'xl', '--part', 'unet', '--file', file, '--size', size],
  ...['--runs', runs, '--threads', threads, '--precision', precision, ...more],
];

const sides: Readonly<Record<string, readonly string[]>> = {
  'ours float32': ours('float32'),
  'ours int8': ours('int8'),
  'OpenVINO float32': peer('openvino_cpu.py', 'f32', '--cache', folder),
  'OpenVINO bfloat16': peer('openvino_cpu.py', 'bf16', '--cache', folder),
  'PyTorch bfloat16': peer('torch_diffusers.py', 'bf16'),
};
const chosen = values.sides?.split(',') ?? Object.keys(sides);

const results = new Map<string, Measured[]>(chosen.map((name) => [name, []]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, list] of results) {
    const command = sides[name];
    if (!command) throw new Error(`There is no side ${name}. Sides: ${Object.keys(sides).join(', ')}.`);
    const result = measure(command);
    if (result) list.push(result);
    console.error(`${name}: ${result ? `${result.runs.map((time) => time.toFixed(1)).join(' ')} s` : 'failed'}`);
  }
}

const step = (list: readonly Measured[]): number => median(list.flatMap((one) => warm(one.runs)));
const beside = step(results.get('OpenVINO bfloat16') ?? []);
console.log('\n| side | run s | load s | processor s | peak GB | run / OpenVINO bfloat16 | output rms |');
console.log('|---|---|---|---|---|---|---|');
for (const [name, list] of results) {
  if (list.length === 0) continue;
  const cells = [
    step(list),
    median(list.map(({ load }) => load)),
    median(list.flatMap(({ cpu }) => warm(cpu))),
    Math.max(...list.map(({ peak_bytes: bytes }) => bytes)) / 1e9,
    step(list) / beside,
    median(list.map(({ output }) => output.rms)),
  ];
  console.log(`| ${name} | ${cells.map((value) => (Number.isNaN(value) ? '-' : value.toFixed(2))).join(' | ')} |`);
}
