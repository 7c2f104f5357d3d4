/** docs/parity.md from the coverage of the recorded cases, and the check that the two agree. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Coverage, coverageOf } from '../test/parity/coverage.ts';

const project = join(import.meta.dirname, '..');
const path = join(project, 'docs/parity.md');
const reference = join(project, '../shared/reference');
const fixtures = join(project, 'fixtures');

/** What the sets are, in the order of the table. */
const sets: Readonly<Record<string, string>> = {
  networks: 'Networks of CompVis, taming-transformers, transformers and diffusers; LoRA, textual inversion',
  diffusion:
    'Schedules, samplers, noise, prompts, pictures and whole runs of CompVis, k-diffusion, A1111, ComfyUI, diffusers',
  files: 'Checkpoints, safetensors, tokenizers, folders of diffusers, data sets, pictures; SD v1 at full size',
  training: 'Gradients, losses, optimisers, whole steps, adapters, evaluation, degradation',
  lineage: 'guided-diffusion, latent diffusion, Imagen, DeepFloyd IF, T5',
  control: 'ControlNet, adapters, upscalers, preprocessors, features of A1111',
  families: 'SD 2.x, SDXL, GGUF',
  comfyui: "ComfyUI's nodes and protocol",
};

/** Rewrites the document. Needs the full reference folder beside the project. */
export async function writeDocument(): Promise<void> {
  if (!existsSync(reference)) throw new Error(`${reference} is missing: the document counts its cases`);
  writeFileSync(path, documentOf(await coverageOf(reference), await coverageOf(fixtures)));
}

/** What differs between the document and the readers, in both directions. Without the full reference folder only the counts of fixtures/ are compared. */
export async function documentProblems(): Promise<string[]> {
  const written = readFileSync(path, 'utf8');
  const small = await coverageOf(fixtures);
  const full = existsSync(reference) ? await coverageOf(reference) : undefined;
  if (full && documentOf(full, small) === written) return [];
  const stated = new Map(written.split('\n').flatMap((line) => rowOf(line)));
  const found = new Map(
    small.map(({ set, read }) => [set, { full: full?.find((one) => one.set === set)?.read, fixtures: read }]),
  );
  const problems = [...new Set([...stated.keys(), ...found.keys()])].flatMap((set) => {
    const [a, b] = [stated.get(set), found.get(set)];
    const fits = (a?.fixtures ?? 0) === (b?.fixtures ?? 0) && (b?.full === undefined || a?.full === b.full);
    return fits ? [] : [`${set}: docs/parity.md states ${JSON.stringify(a)}, the readers cover ${JSON.stringify(b)}`];
  });
  return full && problems.length === 0 ? ['docs/parity.md differs from what the readers cover'] : problems;
}

/** `| networks | … | 42 | 42 | 0 | 35 |` */
function rowOf(line: string): [string, { readonly full: number; readonly fixtures: number }][] {
  const match = /^\| (\w+) \|.*\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$/.exec(line);
  return match?.[1] ? [[match[1], { full: Number(match[3]), fixtures: Number(match[5]) }]] : [];
}

function documentOf(full: readonly Coverage[], small: readonly Coverage[]): string {
  const order = Object.keys(sets);
  const ordered = full.toSorted((a, b) => order.indexOf(a.set) - order.indexOf(b.set));
  const rows = ordered.map(({ set, cases, read }) => {
    const inFixtures = small.find((one) => one.set === set)?.read ?? 0;
    return `| ${set} | ${sets[set] ?? ''} | ${cases} | ${read} | ${cases - read} | ${inFixtures} |`;
  });
  const reasons = ordered.flatMap(({ set, reasons: own, unread }) => [
    ...[...own]
      .filter(([reason]) => !reason.startsWith('not recorded'))
      .map(([reason, n]) => `- ${set}: ${n} · ${reason}`),
    ...(unread > 0 ? [`- ${set}: ${unread} without a reader yet`] : []),
  ]);
  const unrecorded = ordered
    .flatMap(({ reasons: own }) => [...own])
    .filter(([reason]) => reason.startsWith('not recorded'))
    .reduce((sum, [, n]) => sum + n, 0);
  return `# Parity with the originals

Outputs of the original Python programs were recorded on a CPU in float32, with small random weights. Our code runs on the same inputs, and every
output is compared. \`npm run parity -- --document\` writes this page; \`npm run check\` fails where it no longer fits.

| set | what was recorded | cases | compared | not compared | in fixtures/ |
|---|---|---|---|---|---|
${rows.join('\n')}

A case of the set files may hold hundreds of files, and a case of training hundreds of gradients: each counts once here.

## What a tolerance means

The error is the largest absolute difference from the recorded value over all elements. Its tolerance comes from the record: about ten times the
difference between the original in float32 and in float64, so that it measures rounding and not our choices. Token ids, texts, verdicts and bytes
are exact. Where a reader allows more, its comment says why.

## Run it

\`\`\`sh
npm test -- parity                              # the cases in fixtures/
npm run parity                                  # ../shared/reference if it is there, otherwise fixtures/
npm run parity -- --reference DIR --set networks --case unet --json
\`\`\`

Each line states the case, the worst error, its tolerance and the verdict. The exit code is 1 if a case fails, or if no reader reads it and
[test/parity/not-read.ts](../test/parity/not-read.ts) gives no reason. A whole run writes build/parity.json. Recordings of other folders with the
same structure run through the same readers: they decide by what the index states, never by a case's name.

## Not compared

${reasons.join('\n')}
- ${unrecorded} cases that the original itself could not produce

The 16 tests of LDM's further families (test/pipelines/ldm-family.test.ts) compare no recorded number: they check sizes and finite values.
`;
}
