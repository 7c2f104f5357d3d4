/** `sd eval adm`: FID, sFID, inception score, precision and recall with guided-diffusion's arithmetic, compared with a paper's numbers. */

import { join } from 'node:path';
import type { AdmNetwork } from '../../evaluation/adm-features.ts';
import type { AdmStatistics } from '../../evaluation/adm-statistics.ts';
import type { PaperNumbers } from '../../evaluation/paper-numbers.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { required, UsageError } from '../options.ts';
import { picturesOf, shown } from './pictures-of.ts';
import type { Task } from './task.ts';

/** Pictures whose neighbours are compared: all distances are in memory. */
const neighbours = 5000;

interface MeasuredSet {
  readonly statistics: AdmStatistics;
  /** Undefined for stored statistics, which do not say. */
  readonly pictures?: number;
  /** Of the first pictures. */
  readonly features?: Tensor<'float32'>;
  readonly probabilities?: Tensor<'float32'>;
}

/** Statistics that are stored in an archive, or undefined for pictures. */
async function stored(path: string): Promise<MeasuredSet | undefined> {
  if (!path.endsWith('.npz')) return undefined;
  const { openFile } = await import('../../files/byte-source-node.ts');
  const { openNpz } = await import('../../formats/npz.ts');
  const { hasStatistics, readStatistics } = await import('../../evaluation/adm-statistics.ts');
  const source = await openFile(path);
  try {
    const archive = await openNpz(source);
    return hasStatistics(archive) ? { statistics: await readStatistics(archive, path) } : undefined;
  } finally {
    await source.close();
  }
}

function softmax({ shape, data }: Tensor<'float32'>): Float32Array {
  const [n = 0, classes = 1] = shape;
  const out = new Float32Array(data.length);
  for (let row = 0; row < n; row++) {
    const own = data.subarray(row * classes, (row + 1) * classes);
    const most = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const total = own.reduce((sum, value) => sum + Math.exp(value - most), 0);
    for (const [i, value] of own.entries()) out[row * classes + i] = Math.exp(value - most) / total;
  }
  return out;
}

async function measured(path: string, network: AdmNetwork, task: Task): Promise<MeasuredSet> {
  const { runningStatistics } = await import('../../evaluation/adm-statistics.ts');
  const { float32 } = await import('../../tensor/tensor.ts');
  const [pool, spatial] = [runningStatistics(2048), runningStatistics(2023)];
  const kept: Float32Array[] = [];
  const probabilities: Float32Array[] = [];
  let pictures = 0;
  let classes = 0;
  for await (const some of picturesOf(path, task.values.count, task)) {
    const made = await network.pictures(
      some.map(({ picture }) => picture.image),
      task.context.signal,
    );
    pool.add(made.features);
    spatial.add(made.spatial);
    if (pictures < neighbours) kept.push(made.features.data as Float32Array);
    if (made.logits) probabilities.push(softmax(made.logits));
    classes = made.logits?.shape[1] ?? 0;
    pictures += some.length;
  }
  const rows = (parts: readonly Float32Array[], width: number, most: number): Tensor<'float32'> => {
    const count = Math.min(most, parts.reduce((sum, part) => sum + part.length, 0) / width);
    const data = new Float32Array(count * width);
    let at = 0;
    for (const part of parts) {
      data.set(part.subarray(0, Math.min(part.length, data.length - at)), at);
      at += part.length;
    }
    return float32([count, width], data);
  };
  return {
    statistics: { pool: pool.result(), spatial: spatial.result() },
    pictures,
    features: rows(kept, 2048, neighbours),
    ...(probabilities.length > 0 ? { probabilities: rows(probabilities, classes, pictures) } : {}),
  };
}

type Measures = Readonly<Record<'fid' | 'sfid', number>> &
  Readonly<Partial<Record<'inceptionScore' | 'precision' | 'recall', number>>>;

/** What the paper measured otherwise. */
function differences(made: MeasuredSet, real: MeasuredSet, paper: PaperNumbers, settings: unknown): string[] {
  const { steps } = (settings ?? {}) as { readonly steps?: number };
  return [
    ...(made.pictures === paper.pictures
      ? []
      : [
          `The paper measured ${paper.pictures} pictures, and here there are ${made.pictures ?? 'an unknown number'}; fewer give a higher FID.`,
        ]),
    ...(steps === undefined
      ? [`The paper sampled ${paper.steps} steps (${paper.sampling}); how these pictures were made is not known.`]
      : steps === paper.steps
        ? []
        : [`The paper sampled ${paper.steps} steps (${paper.sampling}), these pictures have ${steps}.`]),
    ...(real.pictures === undefined
      ? []
      : [
          `The reference is made of ${real.pictures} pictures; the paper's is its own archive of statistics (VIRTUAL_*.npz).`,
        ]),
    ...((made.pictures ?? 0) > neighbours || (real.pictures ?? 0) > neighbours
      ? [`Precision and recall are of the first ${neighbours} pictures of each set; the paper took all.`]
      : []),
    "The network is pytorch-fid's copy of the TensorFlow graph, in float32.",
    ...(paper.source.startsWith('latent')
      ? ["latent-diffusion's numbers are torch-fidelity's, which resizes pictures otherwise."]
      : []),
  ];
}

export async function adm(task: Task): Promise<void> {
  const { values, context, communicator } = task;
  if (communicator.size > 1) throw new UsageError('sd eval adm runs as one process. Leave mpirun out.');
  const { paperNumbers } = await import('../../evaluation/paper-numbers.ts');
  const paper = values.paper === undefined ? undefined : paperNumbers[values.paper];
  if (values.paper !== undefined && !paper)
    throw new UsageError(
      `--paper must be one of ${Object.keys(paperNumbers).join(', ')}, got ${JSON.stringify(values.paper)}.`,
    );
  const [realPath, madePath] = [
    required(values.real, '--real', 'eval adm'),
    required(values.made, '--made', 'eval adm'),
  ];
  let network: AdmNetwork | undefined;
  const measure = async (path: string): Promise<MeasuredSet> => {
    const statistics = await stored(path);
    if (statistics) return statistics;
    network ??= await task.openAdmFeatures(required(values.features, '--features', 'eval adm'));
    return measured(path, network, task);
  };
  const real = await measure(realPath);
  const made = await measure(madePath);
  const { frechetDistance } = await import('../../evaluation/frechet-distance.ts');
  const { admPrecisionRecall, inceptionScoreBySplits } = await import('../../evaluation/adm-evaluator.ts');
  const balls = real.features && made.features && admPrecisionRecall(real.features, made.features);
  const measures: Measures = {
    fid: frechetDistance(made.statistics.pool, real.statistics.pool),
    sfid: frechetDistance(made.statistics.spatial, real.statistics.spatial),
    ...(made.probabilities ? { inceptionScore: inceptionScoreBySplits(made.probabilities) } : {}),
    ...(balls ? { precision: balls.precision, recall: balls.recall } : {}),
  };
  const settings = await settingsBeside(madePath);
  const differs = paper ? differences(made, real, paper, settings) : [];
  await report(task, { measures, paper, differs, made, real });
  task.progress.clear();
  if (values.json) {
    context.out.write(`${JSON.stringify({ ...measures, ...(paper ? { paper, differences: differs } : {}) })}\n`);
    return;
  }
  for (const line of table(measures, paper)) context.out.write(`${line}\n`);
  for (const line of differs) context.out.write(`- ${line}\n`);
}

/** The settings that `sd sample` wrote to the folder of its pictures. */
async function settingsBeside(path: string): Promise<unknown> {
  const { dirname } = await import('node:path');
  const { readTextIfThere } = await import('../../files/open-node.ts');
  for (const folder of [path, dirname(path)]) {
    const text = await readTextIfThere('configuration', join(folder, 'sampling.json')).catch(() => undefined);
    if (text !== undefined) return parsed(text);
  }
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function table(measures: Measures, paper: PaperNumbers | undefined): string[] {
  const head = paper ? [`${''.padEnd(20)}${'here'.padEnd(12)}${paper.model} (${paper.source})`] : [];
  return [
    ...head,
    ...Object.entries(measures).map(([name, value]) => {
      const other = paper?.[name as keyof Measures];
      return `${name.padEnd(20)}${shown(value).padEnd(12)}${other ?? ''}`.trimEnd();
    }),
  ];
}

interface Report {
  readonly measures: Measures;
  readonly paper: PaperNumbers | undefined;
  readonly differs: readonly string[];
  readonly made: MeasuredSet;
  readonly real: MeasuredSet;
}

/** With `--output`: the statistics of both sets, and a report. */
async function report({ values }: Task, { measures, paper, differs, made, real }: Report): Promise<void> {
  const { output } = values;
  if (output === undefined) return;
  const { makeFolder } = await import('../../files/make-folder-node.ts');
  const { writeNewFile } = await import('../../files/write-file-node.ts');
  const { writeNpz } = await import('../../formats/npz.ts');
  const { statisticsArrays } = await import('../../evaluation/adm-statistics.ts');
  await makeFolder(output);
  const write = (name: string, bytes: Uint8Array): Promise<unknown> =>
    writeNewFile(join(output, name), [bytes], { replace: values.force });
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  for (const [name, set] of [
    ['made-statistics.npz', made],
    ['real-statistics.npz', real],
  ] as const)
    if (set.pictures !== undefined) await write(name, writeNpz(statisticsArrays(set.statistics)));
  const rows = Object.entries(measures).map(
    ([name, value]) => `| ${name} | ${shown(value)} |${paper ? ` ${paper[name as keyof Measures] ?? ''} |` : ''}`,
  );
  const lines = [
    '# Evaluation',
    '',
    `| | here |${paper ? ` ${paper.model}, ${paper.source} |` : ''}`,
    `|---|---|${paper ? '---|' : ''}`,
    ...rows,
    '',
    ...(differs.length > 0 ? ['What differs from the paper:', '', ...differs.map((line) => `- ${line}`), ''] : []),
  ];
  await write('report.md', text(lines.join('\n')));
  await write('report.json', text(`${JSON.stringify({ measures, paper, differences: differs }, undefined, 2)}\n`));
}
