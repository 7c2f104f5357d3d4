/**
 * Memory of a rank by the way in which training divides its states: calculated from the tensors of a network, and measured.
 *
 *     node --import ./tools/typescript.mjs bench/rank-memory.ts
 *     mpirun -n 2 --bind-to none node --import ./tools/typescript.mjs bench/rank-memory.ts measure none|states|gradients
 *
 * The first prints bytes for Stable Diffusion v1's UNet of 860 million parameters on 1 to 64 ranks. The second trains a UNet of 30 million
 * parameters for two steps and prints each rank's tensors and its largest resident memory (Linux).
 */

import { readFileSync } from 'node:fs';
import { type UNetConfig, unetConfigSchema } from '../src/config/network-config.ts';
import { alone, rangeOf } from '../src/distributed/communicator.ts';
import { openRanks } from '../src/distributed/open-node.ts';
import type { EngineState } from '../src/engine/engine.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { mean, mul, sub } from '../src/graph/functions.ts';
import { gradients } from '../src/graph/gradients.ts';
import type { Graph } from '../src/graph/graph.ts';
import { dropUnused } from '../src/graph/simplify.ts';
import { trace } from '../src/graph/trace.ts';
import { need } from '../src/models/trace-network.ts';
import { unet } from '../src/models/unet.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { elementCount, float32, type Shape } from '../src/tensor/tensor.ts';
import { backwardParts, finishedAt } from '../src/training/step/backward.ts';
import { blockOfModule } from '../src/training/step/checkpoint-blocks.ts';
import { createTrainStep } from '../src/training/step/create-train-step.ts';
import { squareRows } from '../src/training/step/flat-programs.ts';
import { initialWeights } from '../src/training/step/initial-weights.ts';
import { packsOf } from '../src/training/step/packs.ts';
import { v1UNet as v1 } from '../test/networks.ts';

const contextWidth = 768;
const small = unetConfigSchema.parse({ ...v1, model_channels: 128, channel_mult: [1, 2, 2], num_res_blocks: 1 });

function lossGraph(config: UNetConfig, side: number): Graph {
  const latent = { dtype: 'float32', shape: [1, 4, side, side] } as const;
  return dropUnused(
    trace(
      {
        x: latent,
        target: latent,
        t: { dtype: 'float32', shape: [1] },
        context: { dtype: 'float32', shape: [1, 77, contextWidth] },
      },
      (given, p) => {
        const timesteps = need(given, 't');
        const difference = sub(
          unet(p, config, { x: need(given, 'x'), timesteps, context: need(given, 'context') }),
          need(given, 'target'),
        );
        return { loss: mean(mul(difference, difference)) };
      },
    ),
  );
}

interface Row {
  readonly ranks: number;
  readonly parts: number;
  readonly dividesStates: boolean;
  readonly dividesGradients: boolean;
}

/** Bytes of a rank, without activations: AdamW with averages, all in float32. */
function bytesOf(config: UNetConfig): (row: Row) => number {
  const graph = lossGraph(config, 8);
  const names = graph.parameters.map(({ name }) => name);
  const shapes = new Map(graph.parameters.map(({ name, value }) => [name, value.shape as Shape]));
  const differentiated = gradients(graph, 'loss', names, { checkpoint: blockOfModule });
  const place = finishedAt(differentiated);
  return ({ ranks, parts, dividesStates, dividesGradients }) => {
    const entries = new Map([...shapes].map(([name, shape]) => [name, { dtype: 'float32', shape } as const]));
    const state = { entries } as unknown as EngineState;
    const order = [...names].sort((a, b) => (parts === 1 ? 0 : place(a) - place(b)));
    const packs = packsOf(state, new Map(order.map((name) => [name, {}])), () => true, parts);
    const sizeOf = (members: readonly string[]): number =>
      members.reduce((sum, name) => sum + Math.ceil(elementCount(shapes.get(name) ?? []) / 16) * 16, 0);
    for (const { name, members } of packs) entries.set(name, { dtype: 'float32', shape: [sizeOf(members)] });
    const whole = packs.reduce((sum, { members }) => sum + sizeOf(members), 0);
    const last = packs.reduce((sum, { members }) => {
      const { start, end } = rangeOf(sizeOf(members), { rank: ranks - 1, size: ranks }, squareRows);
      return sum + end - start;
    }, 0);
    const parted = backwardParts(differentiated, packs, state, parts).map((part) =>
      part.packs.reduce((sum, { members }) => sum + sizeOf(members), 0),
    );
    // Of a part its gradients, and those of the part before it on their way.
    const moving = Math.max(...parted.map((size, i) => size + (i > 0 ? (parted[i - 1] ?? 0) : 0)));
    const gradientElements = dividesGradients ? last + Math.min(whole, moving) : whole;
    return 4 * (whole + gradientElements + 3 * (dividesStates ? last : whole));
  };
}

function calculate(): void {
  const parameters = lossGraph(v1, 8).parameters.reduce(
    (sum, { value }) => sum + elementCount(value.shape as Shape),
    0,
  );
  const bytes = bytesOf(v1);
  process.stdout.write(`${parameters} parameters; GB (10^9 bytes) of a rank without activations\n`);
  process.stdout.write('ranks  undivided  shard_states  shard_gradients (8 parts)\n');
  for (const ranks of [1, 2, 4, 8, 16, 32, 64]) {
    const shown = [
      { ranks, parts: 1, dividesStates: false, dividesGradients: false },
      { ranks, parts: 1, dividesStates: ranks > 1, dividesGradients: false },
      { ranks, parts: ranks > 1 ? 8 : 1, dividesStates: ranks > 1, dividesGradients: ranks > 1 },
    ].map((row) => (bytes(row) / 1e9).toFixed(2));
    process.stdout.write(`${ranks}  ${shown.join('  ')}\n`);
  }
}

/** Largest resident memory of this process, in MB. */
const largestResident = (): number =>
  Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1000);

/** Bytes of the tensors of a state; members of packs lie in them. */
function stateBytes(state: EngineState, members: ReadonlySet<string>): number {
  const own = [...state.entries].filter(
    ([name]) => !members.has(name.replace(/^(part\/)?(gradient|fresh|ema|exp_avg|exp_avg_sq)\//, '')),
  );
  return own.reduce((sum, [, { shape }]) => sum + 4 * elementCount(shape), 0);
}

async function measure(mode: string): Promise<void> {
  const { communicator } = await openRanks('auto', process.env);
  const engine = createNodeEngine({ threads: 1 });
  const graph = lossGraph(small, 8);
  const weights = initialWeights(
    graph.parameters.map(({ name, value }) => ({ name, shape: value.shape as Shape })),
    1,
  );
  {
    await using step = await createTrainStep({
      engine,
      graph,
      weights,
      average: { decay: 0.99 },
      checkpoint: blockOfModule,
      ranks: {
        communicator,
        sharded: mode !== 'none',
        shardedGradients: mode === 'gradients',
        parts: mode === 'gradients' ? 8 : 1,
      },
    });
    const generator = new TorchGenerator(communicator.rank);
    for (let i = 0; i < 2; i++)
      await step.run(
        {
          x: generator.randn([1, 4, 8, 8]),
          target: generator.randn([1, 4, 8, 8]),
          t: float32([1], [i]),
          context: generator.randn([1, 77, contextWidth]),
        },
        { learningRate: 1e-4 },
      );
    const { size } = communicator;
    const row = {
      ranks: size,
      parts: mode === 'gradients' && size > 1 ? 8 : 1,
      dividesStates: mode !== 'none' && size > 1,
      dividesGradients: mode === 'gradients' && size > 1,
    };
    const tensors = stateBytes(step.state, new Set(step.trained));
    process.stdout.write(
      `rank ${communicator.rank} of ${size}, ${mode}: tensors ${Math.round(tensors / 1e6)} MB after a step, calculated at most ${Math.round(bytesOf(small)(row) / 1e6)} MB; largest resident ${largestResident()} MB\n`,
    );
  }
  await engine.dispose();
  if (communicator !== alone) await communicator[Symbol.asyncDispose]();
}

const [what, mode = 'none'] = process.argv.slice(2);
if (what === 'measure') await measure(mode);
else calculate();
