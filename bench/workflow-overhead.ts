/**
 * What a workflow adds to a picture: ComfyUI's default graph (checkpoint, two texts, KSampler, VAE, SaveImage) over `textToImage` with the same
 * model, size, steps and guidance, in one process and with the PNG of each written. Both sides take turns; reported are the median of the ratios,
 * and the time of a graph that is sent again unchanged.
 *
 *     npm run build && node --import ./tools/typescript.mjs bench/workflow-overhead.ts [--model FILE] [--rounds 15] [--steps 20] [--size 128] [--threads 2]
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createNodeEngine,
  loadModel,
  nodeImageCodec,
  openWorkflowContext,
  pictures,
  pocketModel,
  runWorkflow,
  textToImage,
  WorkflowCache,
} from '../src/index.ts';
import { defaultGraph } from '../test/parity/comfyui/graphs.ts';
import { median } from './measured.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: pocketModel },
    rounds: { type: 'string', default: '15' },
    steps: { type: 'string', default: '20' },
    size: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
  },
});
const [rounds, steps, size, threads] = [values.rounds, values.steps, values.size, values.threads].map(Number) as [
  number,
  number,
  number,
  number,
];
const file = resolve(values.model);
const folder = mkdtempSync(join(tmpdir(), 'sd-overhead-'));
const engine = createNodeEngine({ threads });
const model = await loadModel(file, { engine });
const context = openWorkflowContext({
  folders: {
    models: { checkpoints: [resolve(file, '..')] },
    input: join(folder, 'input'),
    output: join(folder, 'output'),
    temp: join(folder, 'temp'),
  },
  engine,
});
const cache = new WorkflowCache();
const checkpoint = file.slice(resolve(file, '..').length + 1);
const graphOf = (seed: number): string =>
  JSON.stringify(defaultGraph({ seed, steps, size, checkpoint, cfg: 7, text: 'red apple', negative: 'blurry' }));

/** Milliseconds of the wall clock. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function picture(seed: number): Promise<void> {
  const [made] = await pictures(
    textToImage(model, {
      prompt: 'red apple',
      negativePrompt: 'blurry',
      seed,
      steps,
      width: size,
      height: size,
      guidanceScale: 7,
      sampler: 'euler',
    }),
  );
  if (!made) throw new Error('The pipeline made no picture.');
  writeFileSync(join(folder, `${seed}.png`), await nodeImageCodec.encode(made.image, { format: 'png' }));
}

const workflow = (seed: number): Promise<unknown> => runWorkflow(graphOf(seed), { context, cache });

try {
  // The first of each compiles the networks.
  await picture(1);
  await workflow(1);
  const [ratios, alone, graphs, unchanged]: number[][] = [[], [], [], []];
  for (let round = 0; round < rounds; round++) {
    const seed = 2 + round;
    // Whichever goes first finds the machine as the other left it, so they take turns at that too.
    const order = round % 2 === 0 ? [picture, workflow] : [workflow, picture];
    const times = new Map<unknown, number>();
    for (const side of order) times.set(side, await timed(() => side(seed)));
    const [own, other] = [times.get(picture) as number, times.get(workflow) as number];
    alone?.push(own);
    graphs?.push(other);
    ratios?.push(other / own);
    unchanged?.push(await timed(() => workflow(seed)));
  }
  console.log(`textToImage       ${median(alone ?? []).toFixed(1)} ms`);
  console.log(
    `default graph     ${median(graphs ?? []).toFixed(1)} ms, ${((median(ratios ?? []) - 1) * 100).toFixed(2)} % more`,
  );
  console.log(`unchanged graph   ${median(unchanged ?? []).toFixed(1)} ms`);
} finally {
  await context.networks.dispose();
  await model.dispose();
  await engine.dispose();
  rmSync(folder, { recursive: true, force: true });
}
