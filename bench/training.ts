/**
 * Training steps in float32 beside the same in PyTorch: the tiny UNet of the reference set's size, the pocket UNet and the pocket autoencoder
 * of the first model that shipped (pocket-v0.yaml). Two processes take single steps in turn, so that both meet the same load of the machine; the medians are compared.
 *
 *     node --import ./tools/typescript.mjs bench/training.ts [steps] [threads] [case …]
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { autoencoderTraining } from '../src/config/autoencoder-training.ts';
import { unetConfigSchema } from '../src/config/network-config.ts';
import { parseYaml } from '../src/config/yaml.ts';
import { betaSchedule } from '../src/diffusion/beta-schedule.ts';
import { ddpmBuffers } from '../src/diffusion/noise-schedule.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import type { Engine } from '../src/engine/engine.ts';
import { dropUnused } from '../src/graph/simplify.ts';
import { trace } from '../src/graph/trace.ts';
import { need } from '../src/models/trace-network.ts';
import { unet } from '../src/models/unet.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { createAutoencoderTraining } from '../src/training/autoencoder/trainee.ts';
import { autoencoderWeights } from '../src/training/autoencoder/weights.ts';
import { diffusionLoss } from '../src/training/objective/diffusion.ts';
import { initialWeights } from '../src/training/step/initial-weights.ts';
import { createTrainStep } from '../src/training/step/create-train-step.ts';

const root = join(import.meta.dirname, '..');

interface Pocket {
  readonly model: {
    readonly params: {
      readonly unet_config: { readonly params: Record<string, unknown> };
      readonly first_stage_config: {
        readonly target: string;
        readonly params: { readonly embed_dim: number; readonly ddconfig: object };
      };
    };
  };
}
const pocket = (parseYaml(readFileSync(join(root, 'bench/pocket-v0.yaml'), 'utf8'), 'pocket-v0.yaml') as Pocket).model
  .params;

interface Case {
  readonly kind: 'autoencoder' | 'unet';
  readonly batch: number;
  readonly side: number;
  /** LDM's parameters of the network. */
  readonly config: Record<string, unknown>;
}

const cases: Readonly<Record<string, Case>> = {
  'tiny UNet': {
    kind: 'unet',
    batch: 8,
    side: 8,
    config: {
      in_channels: 4,
      out_channels: 4,
      model_channels: 32,
      num_res_blocks: 1,
      attention_resolutions: [1, 2],
      channel_mult: [1, 2],
      num_heads: 4,
      use_spatial_transformer: true,
      transformer_depth: 1,
      context_dim: 32,
      image_size: 8,
      legacy: false,
    },
  },
  'pocket UNet': { kind: 'unet', batch: 16, side: 16, config: pocket.unet_config.params },
  'pocket autoencoder': {
    kind: 'autoencoder',
    batch: 8,
    side: 128,
    config: { ...pocket.first_stage_config.params.ddconfig, embed_dim: pocket.first_stage_config.params.embed_dim },
  },
};

interface Trained {
  readonly parameters: number;
  readonly step: () => Promise<unknown>;
}

const count = (shapes: Iterable<{ readonly shape: readonly number[] }>): number =>
  [...shapes].reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

async function autoencoder(engine: Engine, { batch, side }: Case): Promise<Trained> {
  const { target, params } = pocket.first_stage_config;
  const config = autoencoderTraining(
    { model: { target, params: { ...params, lossconfig: { target: 'MultiscaleReconstruction' } } } },
    'pocket.yaml',
  );
  const { objective, weights } = autoencoderWeights({ config, seed: 0 });
  const training = await createAutoencoderTraining({
    engine,
    objective,
    weights,
    size: { batch, height: side, width: side },
  });
  const generator = new TorchGenerator(0);
  const image = generator.rand([batch, 3, side, side], -1, 1);
  return {
    parameters: count(training.model().entries),
    step: () => {
      const noise = generator.randn([batch, 4, side / 8, side / 8]);
      return training.update([{ image, noise: [noise, noise] }], { learningRate: 1e-4 });
    },
  };
}

async function denoiser(engine: Engine, { batch, side, config }: Case): Promise<Trained> {
  const network = unetConfigSchema.parse({ kind: 'unet', ...config });
  const schedule = ddpmBuffers(betaSchedule('linear', 1000, { linearStart: 0.00085, linearEnd: 0.012 }));
  const latent = { dtype: 'float32', shape: [batch, 4, side, side] } as const;
  const inputs = {
    x0: latent,
    noise: latent,
    t: { dtype: 'int64', shape: [batch] },
    context: { dtype: 'float32', shape: [batch, 77, Number(config['context_dim'])] },
  } as const;
  const graph = dropUnused(
    trace(inputs, (given, p) => {
      const { loss } = diffusionLoss(
        { schedule },
        { x0: need(given, 'x0'), noise: need(given, 'noise'), t: need(given, 't') },
        (x, timesteps) => unet(p, network, { x, timesteps, context: need(given, 'context') }),
      );
      return { loss };
    }),
  );
  const generator = new TorchGenerator(0);
  const weights = initialWeights(
    graph.parameters.map(({ name, value }) => ({ name, shape: value.shape as readonly number[] })),
    0,
  );
  const step = await createTrainStep({ engine, graph, weights });
  const fixed = {
    x0: generator.randn(latent.shape),
    noise: generator.randn(latent.shape),
    context: generator.randn(inputs.context.shape),
  };
  return {
    parameters: count(graph.parameters.map(({ value }) => ({ shape: value.shape as readonly number[] }))),
    step: () => step.run({ ...fixed, t: generator.randint(0, 1000, [batch]) }, { learningRate: 1e-4 }),
  };
}

/** One step for each line on stdin, as bench/peers/torch_training.py. */
async function serve(name: string, threads: number): Promise<void> {
  const chosen = cases[name] as Case;
  const engine = createNodeEngine({ threads });
  const { parameters, step } = await (chosen.kind === 'unet' ? denoiser(engine, chosen) : autoencoder(engine, chosen));
  console.log(JSON.stringify({ parameters, version: process.version }));
  for await (const _ of createInterface({ input: process.stdin })) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await step();
    const { user, system } = process.cpuUsage(before);
    console.log(
      JSON.stringify({
        seconds: (performance.now() - start) / 1000,
        cpu: (user + system) / 1e6,
        peak_mb: process.resourceUsage().maxRSS / 1024,
      }),
    );
  }
  process.exit(0);
}

interface Answer {
  readonly parameters?: number;
  readonly seconds: number;
  readonly cpu: number;
  readonly peak_mb: number;
}

/** A process that answers each line with a line of JSON. */
class Peer implements Disposable {
  readonly steps: Answer[] = [];
  readonly #child;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.on('data', (text) => {
      this.#errors += text;
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async answer(): Promise<Answer> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(this.#errors);
    return JSON.parse(value) as Answer;
  }

  async step(): Promise<void> {
    this.#child.stdin.write('\n');
    this.steps.push(await this.answer());
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const round = (value: number, digits = 3): number => Number(value.toFixed(digits));

async function compare(name: string, steps: number, threads: number): Promise<Record<string, unknown>> {
  const { kind, batch, side, config } = cases[name] as Case;
  using ours = new Peer(process.execPath, [
    '--import',
    join(root, 'tools/typescript.mjs'),
    import.meta.filename,
    'serve',
    name,
    String(threads),
  ]);
  const a = await ours.answer();
  using torch = new Peer('python3', [
    join(import.meta.dirname, 'peers/torch_training.py'),
    kind,
    ...[threads, batch, side].map(String),
    JSON.stringify(config),
  ]);
  const b = await torch.answer();
  // The first two steps warm up: memory is laid out, kernels are made.
  for (let i = 0; i < steps + 2; i++) {
    await ours.step();
    await torch.step();
  }
  const summary = (peer: Peer) => {
    const measured = peer.steps.slice(2);
    const step = median(measured.map(({ seconds }) => seconds));
    return {
      step_s: round(step),
      images_per_s: round(batch / step, 2),
      cpu_s: round(median(measured.map(({ cpu }) => cpu))),
      peak_mb: Math.round(Math.max(...peer.steps.map(({ peak_mb }) => peak_mb))),
    };
  };
  const [own, other] = [summary(ours), summary(torch)];
  const ratios = {
    speed: round(other.step_s / own.step_s, 2),
    cpu: round(other.cpu_s / own.cpu_s, 2),
    memory: round(own.peak_mb / other.peak_mb, 2),
  };
  return {
    what: name,
    parameters: [a.parameters, b.parameters],
    batch,
    side,
    threads,
    steps,
    'stable-diffusion-ts': own,
    PyTorch: other,
    ratios,
  };
}

const [first = '10', second = '2', ...names] = process.argv.slice(2);
if (first === 'serve') await serve(second, Number(names[0]));
else
  for (const name of names.length > 0 ? names : Object.keys(cases))
    console.log(JSON.stringify(await compare(name, Number(first), Number(second)), null, 1));
