/**
 * The measurements that need a quiet machine, in one command of some 12 minutes on two cores:
 *
 *     npm run build && node --import ./tools/typescript.mjs bench/speed.ts [--folder FOLDER] [--sections LIST] [--rounds 2] [--threads 2]
 *
 * Sections: `unet` and `decoder` (a step and a picture's decoding beside OpenVINO in float32, bfloat16 and int8), `merging` (a step with half
 * of the tokens merged), `scaling` (threads, sizes and batches, with a plot in build/speed-scaling.svg), `picture` (the whole cold command
 * from a float16 file beside OpenVINO in bfloat16) and `quality` (64 pictures of the pocket model). Default: all of them.
 *
 * The folder (default `$SD_FULL_SIZE`, else build/full-size) holds the checkpoints with made-up weights and what OpenVINO converts them to, 12 GB in
 * all. They are made when they are missing, which takes 10 minutes more and 12 GB of memory.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lineChart } from '../src/plot/line-chart.ts';
import { type Measured, madeUpCheckpoint, measure, median, warm } from './measured.ts';

const root = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: process.env['SD_FULL_SIZE'] ?? join(root, 'build/full-size') },
    sections: { type: 'string', default: 'unet,decoder,merging,scaling,picture,quality' },
    rounds: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    size: { type: 'string', default: '512' },
  },
});
const { folder, threads, size } = values;
const file = madeUpCheckpoint(folder, 'f32');

type Precision = 'float32' | 'int8';

interface OurRun {
  readonly runs?: number;
  readonly side?: number;
  readonly threads?: string;
  readonly options?: readonly string[];
}

function ours(part: 'unet' | 'vae', precision: Precision, { runs = 3, side, options = [], ...more }: OurRun = {}) {
  const script = join(root, 'bench/full-size-network.mjs');
  const settings = [String(runs), String(side ?? size), more.threads ?? threads, precision];
  return measure([process.execPath, script, part, file, ...settings, ...options]);
}

const openVino = (part: 'unet' | 'vae', precision: 'f32' | 'bf16' | 'int8'): Measured | undefined =>
  measure([
    ...['python3', join(root, 'bench/peers/openvino_cpu.py'), '--part', part, '--file', file, '--cache', folder],
    ...['--size', size, '--runs', '3', '--threads', threads, '--precision', precision],
  ]);

const figure = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? '-' : value.toFixed(2);
const stepOf = (of: Measured | undefined): number => (of ? median(warm(of.runs)) : Number.NaN);

function row(cells: readonly (string | number | undefined)[]): void {
  console.log(`| ${cells.map((cell) => (typeof cell === 'string' ? cell : figure(cell))).join(' | ')} |`);
}

function heading(title: string, columns: readonly string[]): void {
  console.log(`\n${title}\n`);
  row(columns);
  row(columns.map(() => '---'));
}

/** Our sides and OpenVINO's take turns; ratios are those of one round, and their median is printed. */
function besidePeers(title: string, part: 'unet' | 'vae', withInt8: boolean): void {
  const sides: Readonly<Record<string, () => Measured | undefined>> = {
    'ours float32': () => ours(part, 'float32'),
    'ours int8': () => ours(part, 'int8'),
    'OpenVINO float32': () => openVino(part, 'f32'),
    'OpenVINO bfloat16': () => openVino(part, 'bf16'),
    ...(withInt8 ? { 'OpenVINO int8': () => openVino(part, 'int8') } : {}),
  };
  const rounds = Array.from({ length: Number(values.rounds) }, () =>
    Object.fromEntries(Object.entries(sides).map(([name, run]) => [name, run()])),
  );
  heading(title, [
    'side',
    'run s',
    'load s',
    'processor s',
    'peak GB',
    'run / OpenVINO float32',
    'run / OpenVINO bfloat16',
  ]);
  for (const name of Object.keys(sides)) {
    const list = rounds.flatMap((round) => round[name] ?? []);
    if (list.length === 0) continue;
    const beside = (peer: string): number =>
      median(rounds.map((round) => stepOf(round[name]) / stepOf(round[peer])).filter(Number.isFinite));
    row([
      name,
      median(list.map(stepOf)),
      median(list.map(({ load }) => load)),
      median(list.map(({ cpu }) => median(warm(cpu)))),
      Math.max(...list.map(({ peak_bytes }) => peak_bytes)) / 1e9,
      beside('OpenVINO float32'),
      beside('OpenVINO bfloat16'),
    ]);
  }
}

function merging(): void {
  heading('A step with half of the tokens merged (--token-merging 0.5)', [
    'side',
    'step s',
    'without',
    'ratio',
    '/ OpenVINO bfloat16',
  ]);
  const peer = stepOf(openVino('unet', 'bf16'));
  for (const precision of ['int8', 'float32'] as const) {
    const whole = stepOf(ours('unet', precision));
    const merged = stepOf(ours('unet', precision, { options: ['--token-merging', '0.5'] }));
    row([`ours ${precision}`, merged, whole, merged / whole, merged / peer]);
  }
}

/** Seconds and memory of a step against one setting, the others as usual. */
function scaling(): void {
  const settings: Readonly<Record<string, { readonly at: readonly number[]; readonly run: (x: number) => OurRun }>> = {
    threads: { at: [1, Number(threads)], run: (x) => ({ runs: 2, threads: String(x) }) },
    size: { at: [256, 512, 768, 1024], run: (x) => ({ runs: 2, side: x }) },
    batch: { at: [1, 2, 4], run: (x) => ({ runs: 2, options: ['--batch', String(2 * x)] }) },
  };
  heading('Scaling: a step with guidance', [
    'setting',
    '',
    'float32 s',
    'peak GB',
    'int8 s',
    'peak GB',
    'int8 / float32',
  ]);
  const steps = new Map<string, { x: number; y: number }[]>();
  for (const [setting, { at, run }] of Object.entries(settings)) {
    for (const x of at) {
      const [exact, small] = [ours('unet', 'float32', run(x)), ours('unet', 'int8', run(x))];
      const gigabytes = (of: Measured | undefined): number | undefined => of && of.peak_bytes / 1e9;
      row([
        setting,
        String(x),
        stepOf(exact),
        gigabytes(exact),
        stepOf(small),
        gigabytes(small),
        stepOf(small) / stepOf(exact),
      ]);
      if (setting !== 'size') continue;
      for (const [name, of] of Object.entries({ float32: exact, int8: small }))
        steps.set(name, [...(steps.get(name) ?? []), { x, y: stepOf(of) }]);
    }
  }
  const series = Array.from(steps, ([name, points]) => ({ name, points, markers: true }));
  const plot = join(root, 'build/speed-scaling.svg');
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(plot, lineChart(series, { title: 'A step of the UNet', xLabel: 'side in pixels', yLabel: 'seconds' }));
  console.log(`\n${plot}`);
}

function picture(): void {
  const [model, out] = [madeUpCheckpoint(folder, 'f16'), join(tmpdir(), `speed-${process.pid}`)];
  const command = [join(root, 'dist/cli/main.js'), 'txt2img', 'a photograph of an astronaut', '--model', model];
  const settings = [
    '--steps',
    '20',
    '--H',
    size,
    '--W',
    size,
    '--precision',
    'int8',
    '--threads',
    threads,
    '--outdir',
    out,
    '--quiet',
  ];
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [...command, ...settings], { cwd: root, encoding: 'utf8' });
  const wall = (performance.now() - start) / 1000;
  if (status !== 0) console.error(stderr);
  const script = join(root, 'bench/peers/openvino_picture.py');
  const begun = performance.now();
  const peer = measure(['python3', script, '--file', file, '--cache', folder, '--size', size, '--threads', threads]);
  const whole = peer ? peer.load + (peer.runs[0] ?? Number.NaN) : Number.NaN;
  heading('A picture of 20 steps, cold', [
    'ours int8, from a float16 file s',
    'OpenVINO bfloat16, converted beforehand s',
    'ratio',
  ]);
  row([status === 0 ? wall : Number.NaN, whole, status === 0 ? wall / whole : Number.NaN]);
  console.log(`\nThe whole process of OpenVINO took ${((performance.now() - begun) / 1000).toFixed(1)} s.`);
}

function quality(): void {
  const script = join(root, 'bench/int8-quality.ts');
  const { stdout } = spawnSync(process.execPath, ['--import', './tools/typescript.mjs', script, '--pictures', '64'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  console.log(`\nPSNR of int8 to float32, the pocket model: ${stdout.trim()}`);
}

const sections: Readonly<Record<string, () => void>> = {
  unet: () => besidePeers('A step of the UNet with guidance', 'unet', true),
  decoder: () => besidePeers('Decoding one picture', 'vae', false),
  merging,
  scaling,
  picture,
  quality,
};

const begun = performance.now();
for (const name of values.sections.split(',')) {
  const section = sections[name];
  if (!section) throw new Error(`There is no section ${name}. Sections: ${Object.keys(sections).join(', ')}.`);
  section();
}
console.log(`\n${((performance.now() - begun) / 60_000).toFixed(1)} minutes`);
