/**
 * Full-size benchmark: this package (from the float32 and the float16 file), OpenVINO and PyTorch/diffusers, all in float32, on the Stable
 * Diffusion v1 UNet, decoder and text encoder at 512 x 512 with guidance. The sides take turns, each in a process of its own, for some rounds;
 * reported are medians, and as ratios the median over the rounds, because a machine that others use is not equally fast from minute to minute.
 *
 *     npm run build && node --import ./tools/typescript.mjs bench/full-size.ts [--rounds 3] [--runs 4] [--parts unet,vae,text] [--threads 2]
 *
 * The checkpoints lie in `$SD_FULL_SIZE`, else `build/full-size`, where they are made first (6.4 GB). Peers: torch, diffusers, transformers and
 * openvino from PyPI; one that is not installed is left out, and said so. OpenVINO needs 8 GB of memory, its conversion more.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Measured, madeUpCheckpoint, measure, median, warm } from './measured.ts';

const root = join(import.meta.dirname, '..');
const folder = process.env['SD_FULL_SIZE'] ?? join(root, 'build/full-size');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    runs: { type: 'string', default: '4' },
    parts: { type: 'string', default: 'unet,vae,text' },
    threads: { type: 'string', default: '2' },
    cache: { type: 'string', default: join(root, 'build/openvino') },
  },
});
const { runs, threads, cache } = values;

const file = (dtype: 'f32' | 'f16'): string => join(folder, `full-${dtype}.safetensors`);
const peer = (script: string, part: string, ...more: string[]): readonly string[] => [
  'python3',
  join(import.meta.dirname, 'peers', script),
  '--part',
  part,
  '--file',
  file('f32'),
  '--runs',
  runs,
  '--threads',
  threads,
  ...more,
];
const ours = (part: string, dtype: 'f32' | 'f16'): readonly string[] => [
  process.execPath,
  join(import.meta.dirname, 'full-size-network.mjs'),
  part,
  file(dtype),
  runs,
  '512',
  threads,
];

const sides: Readonly<Record<string, (part: string) => readonly string[]>> = {
  'stable-diffusion-ts, f32 file': (part) => ours(part, 'f32'),
  'OpenVINO f32': (part) => peer('openvino_cpu.py', part, '--cache', cache),
  'stable-diffusion-ts, f16 file': (part) => ours(part, 'f16'),
  'PyTorch/diffusers f32': (part) => peer('torch_diffusers.py', part),
};
const [first = ''] = Object.keys(sides);

const load = (): string =>
  existsSync('/proc/loadavg') ? readFileSync('/proc/loadavg', 'utf8').split(' ').slice(0, 1).join() : '?';

for (const dtype of ['f32', 'f16'] as const) madeUpCheckpoint(folder, dtype);

const results: Record<string, Record<string, Measured[]>> = {};
for (const part of values.parts.split(',')) {
  const measured: Record<string, Measured[]> = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
  results[part] = measured;
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [side, command] of Object.entries(sides)) {
      const before = load();
      const result = measure(command(part));
      if (result) measured[side]?.push(result);
      console.error(
        `${part}, round ${round + 1}, ${side}: ${result ? `load ${result.load.toFixed(1)} s, runs ${result.runs.map((time) => time.toFixed(2)).join(' ')} s` : 'failed or not installed'} (load average ${before})`,
      );
    }
  }
  console.log(
    `\n${part}\n\n| side | load s | run s (median) | fastest run s | processor s a run (fewest) | peak GB | its run / ours |\n|---|---|---|---|---|---|---|`,
  );
  for (const [side, list] of Object.entries(measured)) {
    if (list.length === 0) continue;
    const all = (pick: (one: Measured) => readonly number[]): number[] => list.flatMap((one) => warm(pick(one)));
    const ratios = list.flatMap((one, round) => {
      const own = measured[first]?.[round];
      return own ? [median(warm(one.runs)) / median(warm(own.runs))] : [];
    });
    const cells = [
      median(list.map((one) => one.load)),
      median(all((one) => one.runs)),
      Math.min(...all((one) => one.runs)),
      Math.min(...all((one) => one.cpu)),
      Math.max(...list.map((one) => one.peak_bytes)) / 1e9,
      median(ratios),
    ];
    console.log(`| ${side} | ${cells.map((value) => value.toFixed(2)).join(' | ')} |`);
  }
}
mkdirSync(join(root, 'build'), { recursive: true });
writeFileSync(join(root, 'build/full-size.json'), JSON.stringify(results, null, 1));
