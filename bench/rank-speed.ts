/**
 * Speed of training over ranks, and a model of it.
 *
 *     node --import ./tools/typescript.mjs bench/rank-speed.ts efficiency [steps]
 *     node --import ./tools/typescript.mjs bench/rank-speed.ts measure RANKS [steps] [options of mpirun …]
 *     node --import ./tools/typescript.mjs bench/rank-speed.ts network [steps]
 *     node --import ./tools/typescript.mjs bench/rank-speed.ts model COMPUTE BYTES BANDWIDTH LATENCY [packs]
 *
 * `efficiency` compares the images a second of 2 ranks with one thread each with those of 1 rank with 2 threads, at the same whole batch, in
 * turn; about two minutes on a quiet machine with two cores. `measure` prints the step time of one setting with its shares. `network` puts the
 * model beside runs of 2 and 4 ranks on a slowed loopback (Linux, root, Open MPI): `tc tbf` lets 1000 and 200 Mbit a second through the loopback of a
 * network namespace, which all ranks share; it adds no latency. About two minutes. `model` prints the step time for 1 to 256 ranks of a network:
 * seconds of compute, bytes of gradients, bytes a second and seconds of latency of a link.
 */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { unetConfigSchema } from '../src/config/network-config.ts';
import type { Communicator } from '../src/distributed/communicator.ts';
import { openRanks } from '../src/distributed/open-node.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { mean, mul, sub } from '../src/graph/functions.ts';
import { dropUnused } from '../src/graph/simplify.ts';
import { trace } from '../src/graph/trace.ts';
import { need } from '../src/models/trace-network.ts';
import { unet } from '../src/models/unet.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { elementCount, float32, type Shape } from '../src/tensor/tensor.ts';
import { createTrainStep } from '../src/training/step/create-train-step.ts';
import { initialWeights } from '../src/training/step/initial-weights.ts';

const root = join(import.meta.dirname, '..');
const side = 16;
const config = unetConfigSchema.parse({
  kind: 'unet',
  in_channels: 4,
  out_channels: 4,
  model_channels: 64,
  attention_resolutions: [2],
  num_res_blocks: 1,
  channel_mult: [1, 2],
  num_heads: 4,
  legacy: false,
});

/** A communicator that adds up the time in which it is waited for. */
function timed(ranks: Communicator): { readonly communicator: Communicator; readonly seconds: () => number } {
  let total = 0;
  const around = async <T>(work: Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work;
    total += (performance.now() - start) / 1000;
    return result;
  };
  return {
    communicator: {
      rank: ranks.rank,
      size: ranks.size,
      allReduce: (...given) => around(ranks.allReduce(...given)),
      reduceScatter: (...given) => around(ranks.reduceScatter(...given)),
      allGather: (...given) => around(ranks.allGather(...given)),
      allToAll: (values, counts) => around(ranks.allToAll(values, counts)),
      broadcast: (values, from) => around(ranks.broadcast(values, from)),
      barrier: () => around(ranks.barrier()),
      abort: (code) => ranks.abort(code),
      [Symbol.asyncDispose]: () => ranks[Symbol.asyncDispose](),
    },
    seconds: () => total,
  };
}

/** On each rank; rank 0 prints one line of JSON. */
async function steps(count: number, batch: number, threads: number, parts: number): Promise<void> {
  const { communicator: ranks } = await openRanks('auto', process.env);
  const { communicator, seconds } = timed(ranks);
  const engine = createNodeEngine({ threads });
  const latent = { dtype: 'float32', shape: [batch, 4, side, side] } as const;
  const graph = dropUnused(
    trace({ x: latent, target: latent, t: { dtype: 'float32', shape: [batch] } }, (given, p) => {
      const difference = sub(
        unet(p, config, { x: need(given, 'x'), timesteps: need(given, 't') }),
        need(given, 'target'),
      );
      return { loss: mean(mul(difference, difference)) };
    }),
  );
  const shapes = graph.parameters.map(({ name, value }) => ({ name, shape: value.shape as Shape }));
  const step = await createTrainStep({
    engine,
    graph,
    weights: initialWeights(shapes, 1),
    ranks: { communicator, parts },
  });
  const generator = new TorchGenerator(ranks.rank);
  const one = () =>
    step.run(
      {
        x: generator.randn(latent.shape),
        target: generator.randn(latent.shape),
        t: float32([batch], new Float32Array(batch).fill(500)),
      },
      { learningRate: 1e-4 },
    );
  for (let i = 0; i < 2; i++) await one();
  await ranks.barrier();
  const [start, before] = [performance.now(), seconds()];
  for (let i = 0; i < count; i++) await one();
  const each = (performance.now() - start) / 1000 / count;
  const waited = (seconds() - before) / count;
  if (ranks.rank === 0)
    process.stdout.write(
      `${JSON.stringify({
        ranks: ranks.size,
        threads,
        parts,
        parameters: shapes.reduce((sum, { shape }) => sum + elementCount(shape), 0),
        step_s: each,
        communication_s: waited,
        images_per_s: (batch * ranks.size) / each,
      })}\n`,
    );
  await step.dispose();
  await engine.dispose();
  await ranks[Symbol.asyncDispose]();
}

interface Measured {
  readonly step_s: number;
  readonly communication_s: number;
  readonly parameters: number;
  readonly images_per_s: number;
}

/** Starts ranks; with `before`, commands of a shell, in a network namespace of their own. */
function run(ranks: number, words: readonly string[], options: readonly string[] = [], before?: string): Measured {
  const mpirun = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none', ...options, '-n', String(ranks)];
  const node = [process.execPath, '--import', './tools/typescript.mjs', 'bench/rank-speed.ts', 'rank', ...words];
  const inNamespace = before === undefined ? [] : ['unshare', '-n', 'sh', '-c', `${before} && exec "$0" "$@"`];
  const [program = '', ...given] = [...inNamespace, 'mpirun', ...mpirun, ...node];
  const line = execFileSync(program, given, { cwd: root, encoding: 'utf8' }).trim();
  process.stdout.write(`${line}\n`);
  return JSON.parse(line) as Measured;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function efficiency(count: number): void {
  const speeds: Record<'one' | 'two', number[]> = { one: [], two: [] };
  for (let turn = 0; turn < 3; turn++) {
    speeds.one.push(run(1, [String(count), '8', '2', '1']).images_per_s);
    speeds.two.push(run(2, [String(count), '4', '1', '1']).images_per_s);
  }
  const [one, two] = [median(speeds.one), median(speeds.two)];
  process.stdout.write(
    `${JSON.stringify({ one_rank_two_threads_images_per_s: one, two_ranks_one_thread_images_per_s: two, ratio: two / one })}\n`,
  );
}

/**
 * Seconds of a step on N ranks: compute, then for each pack a reduce-scatter and an all-gather in rings of N - 1 messages of 1/N of the pack,
 * and one small all-reduce of 2 log2 N messages. Nothing overlaps.
 */
function stepTime(
  ranks: number,
  given: { compute: number; bytes: number; bandwidth: number; latency: number; packs: number },
): number {
  if (ranks === 1) return given.compute;
  const messages = 2 * (ranks - 1);
  const moving = (messages / ranks) * (given.bytes / given.bandwidth);
  const waiting = given.latency * (messages * given.packs + 2 * Math.log2(ranks));
  return given.compute + moving + waiting;
}

/** Runs on a slowed loopback beside the model, whose compute is that of as many ranks on a fast one. */
function network(count: number): void {
  const tcp = ['--mca', 'btl', 'self,tcp', '--mca', 'btl_tcp_if_include', 'lo'];
  const words = [String(count), '4', '1', '1'];
  for (const ranks of [2, 4]) {
    const fast = run(ranks, words, tcp, 'ip link set lo up');
    const compute = fast.step_s - fast.communication_s;
    for (const megabits of [1000, 200]) {
      const slow = `ip link set lo up && tc qdisc add dev lo root tbf rate ${megabits}mbit burst 256kb latency 400ms`;
      const { step_s: measured } = run(ranks, words, tcp, slow);
      // The ranks send through one loopback, so each has its share of the rate.
      const bandwidth = (megabits * 1e6) / 8 / ranks;
      const predicted = stepTime(ranks, { compute, bytes: 4 * fast.parameters, bandwidth, latency: 0, packs: 1 });
      process.stdout.write(
        `${JSON.stringify({ ranks, megabits, compute_s: compute, predicted_s: predicted, measured_s: measured, ratio: measured / predicted })}\n`,
      );
    }
  }
}

function model([
  compute = 1,
  bytes = 4 * 860e6,
  bandwidth = 1.25e9,
  latency = 5e-5,
  packs = 52,
]: readonly number[]): void {
  process.stdout.write('ranks  step in s  share of compute\n');
  for (let ranks = 1; ranks <= 256; ranks *= 2) {
    const seconds = stepTime(ranks, { compute, bytes, bandwidth, latency, packs });
    process.stdout.write(`${ranks}  ${seconds.toFixed(3)}  ${((100 * compute) / seconds).toFixed(1)} %\n`);
  }
}

const [what, ...words] = process.argv.slice(2);
if (what === 'rank') {
  const [count = 10, batch = 4, threads = 1, parts = 1] = words.map(Number);
  await steps(count, batch, threads, parts);
} else if (what === 'measure') run(Number(words[0] ?? 2), [words[1] ?? '10', '4', '1', '1'], words.slice(2));
else if (what === 'network') network(Number(words[0] ?? 10));
else if (what === 'model') model(words.map(Number));
else efficiency(Number(words[0] ?? 20));
