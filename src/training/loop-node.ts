/**
 * The training loop: batches in order, updates, metrics, sample grids, checkpoints and the report of a run, until its steps are done or it
 * is asked to stop.
 *
 * A step depends only on the weights, the seed and the step's number, so a resumed run gives the same bits.
 */

import { z } from 'zod';
import { StableDiffusionError } from '../errors.ts';
import type { TrainingBatch } from './data/batches.ts';
import { prefetch } from './data/prefetch.ts';
import type { Problems } from './data/problems.ts';
import { mixSeed, type OrderState } from './data/sample-order.ts';
import { type ProgressState, progressLine, progressMeter } from './run/progress.ts';
import type { Run } from './run/run-folder-node.ts';
import type { TensorProvider } from '../formats/safetensors-write.ts';
import type { Trainee } from './trainee.ts';
import type { LoopSettings } from './training-config.ts';

export interface LoopOptions<Batch> {
  readonly trainee: Trainee<Batch>;
  /** Opened with `resume` if it may continue; `trainee` need not be restored yet. */
  readonly run: Run;
  readonly settings: LoopSettings;
  /** Seed of noise and draws. */
  readonly seed: number;
  /** Batches from a state on, or from the beginning. */
  readonly batches: (state: OrderState | undefined) => AsyncIterable<TrainingBatch>;
  /** Batches that are not trained on, always the same, for the score that chooses the best checkpoints. Without them it is the mean loss since the last. */
  readonly validation?: () => AsyncIterable<TrainingBatch>;
  /** Network configuration and other notes that are kept in checkpoints. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly problems: Problems;
  /** Milliseconds. */
  readonly now: () => number;
  /** Writes report.html with each checkpoint and each grid, and every 20 seconds. */
  readonly report?: boolean;
  /** Fires to save and stop after the step at work. */
  readonly signal?: AbortSignal;
}

export type TrainingEvent =
  | { readonly kind: 'step'; readonly step: number; readonly loss: number; readonly progress: ProgressState }
  | { readonly kind: 'samples' | 'checkpoint' | 'model' | 'report'; readonly step: number; readonly path: string }
  | { readonly kind: 'validation'; readonly step: number; readonly values: Readonly<Record<string, number>> }
  /** Before the first step: samples whose latents are kept. */
  | { readonly kind: 'latents'; readonly done: number; readonly total: number | undefined }
  /** Before the first step: where the run begins. `beganAgain`: it was resumed, but ended before its first checkpoint, so nothing is left of it. */
  | { readonly kind: 'begin'; readonly step: number; readonly beganAgain: boolean }
  /** Before that: DreamBooth's pictures of the class. */
  | { readonly kind: 'class-pictures'; readonly done: number; readonly total: number }
  /** The last event: all steps done, or stopped by the signal. */
  | { readonly kind: 'end'; readonly step: number; readonly status: 'finished' | 'stopped' };

/** Maximum milliseconds between reports. */
const reportPause = 20_000;

/** The part of a checkpoint outside the trainee's state. */
interface LoopState {
  /** As the checkpoint's own; checkpoints of earlier versions lack it. */
  readonly step?: number | undefined;
  readonly seed: number;
  readonly order: OrderState | null;
  readonly trainee: unknown;
}

const loopStateSchema = z.object({
  step: z.int().nonnegative().optional(),
  seed: z.int().nonnegative(),
  order: z.record(z.string(), z.unknown()).nullable(),
  trainee: z.unknown(),
});

/** Sums of metrics since they were last written. */
class Means {
  #sums: Record<string, number> = {};
  #count = 0;

  add(values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) this.#sums[name] = (this.#sums[name] ?? 0) + value;
    this.#count++;
  }

  take(): Record<string, number> {
    const means = Object.fromEntries(Object.entries(this.#sums).map(([name, sum]) => [name, sum / this.#count]));
    this.#sums = {};
    this.#count = 0;
    return means;
  }
}

/**
 * Trains to the end of the settings. The run is closed at the end, the trainee is not disposed of.
 *
 * Throws `not-finite` where the loss became NaN (the last checkpoint is from before), `file-access` where the disk is full (the same), or
 * what data and engine throw. Nothing is written after such an error but the report.
 */
export async function* trainingLoop<Batch>(options: LoopOptions<Batch>): AsyncGenerator<TrainingEvent, void, void> {
  const { run, now } = options;
  let progress: ProgressState | undefined;
  let reported = now();
  const report = (status: 'running' | 'finished' | 'stopped' | 'failed', failure?: string): Promise<string> =>
    run.report({
      status,
      progress: progress ? progressLine(progress) : '',
      problems: [failure, options.problems.summary()].filter(Boolean).join('\n'),
    });
  const written = async (status: 'running' | 'finished' | 'stopped', step: number): Promise<TrainingEvent> => {
    const path = await report(status);
    reported = now();
    return { kind: 'report', step, path };
  };
  try {
    const start = await restore(options);
    yield { kind: 'begin', step: start.step, beganAgain: run.beganAgain };
    const meter = progressMeter({
      total: options.settings.maxSteps,
      batchSize: options.settings.batchSize * options.settings.accumulate,
      start: start.step,
      now: now(),
    });
    for await (const event of steps(options, start)) {
      if (event.kind === 'step') {
        progress = meter.update(event.step, now());
        yield { ...event, progress };
        if (options.report && now() - reported >= reportPause) yield await written('running', event.step);
        continue;
      }
      const isEnd = event.kind === 'end';
      if (options.report && (isEnd || event.kind === 'samples' || event.kind === 'checkpoint'))
        yield await written(isEnd ? event.status : 'running', event.step);
      yield event;
    }
  } catch (error) {
    if (options.report)
      await report('failed', error instanceof Error ? error.message : String(error)).catch(() => undefined);
    throw error;
  } finally {
    await run.close();
  }
}

/** Restores the trainee from the checkpoint, and returns the state to continue from. Throws `config-invalid` for a checkpoint with another seed. */
async function restore<Batch>({
  run,
  trainee,
  seed,
}: LoopOptions<Batch>): Promise<{ readonly step: number; readonly order: OrderState | undefined }> {
  const { resumed } = run;
  if (!resumed) return { step: 0, order: undefined };
  try {
    const read = loopStateSchema.safeParse(resumed.state);
    if (!read.success)
      throw new StableDiffusionError(
        'file-corrupt',
        `${resumed.path} has no state of a training run. Use training.init to start from a model.`,
      );
    const state = read.data as LoopState;
    if (state.step !== undefined && state.step !== resumed.step)
      throw new StableDiffusionError(
        'file-corrupt',
        `${resumed.path} is inconsistent: it states both step ${resumed.step} and step ${state.step}.`,
      );
    if (state.seed !== seed)
      throw new StableDiffusionError(
        'config-invalid',
        `The run in ${run.folder} has the seed ${state.seed}, and ${seed} was given. Resume with the same seed.`,
      );
    await trainee.restore(resumed.weights, state.trainee);
    return { step: resumed.step, order: state.order ?? undefined };
  } finally {
    await resumed.weights.close();
  }
}

type BareEvent =
  | Exclude<TrainingEvent, { kind: 'step' | 'report' | 'latents' | 'class-pictures' | 'begin' }>
  | Omit<Extract<TrainingEvent, { kind: 'step' }>, 'progress'>;

interface Prepared<Batch> {
  readonly batch: Batch;
  readonly epoch: number;
  readonly order: OrderState;
}

/** Batches made ready ahead of their step, each with the seed of its number. */
async function* prepared<Batch>(
  { trainee, seed, settings, batches }: LoopOptions<Batch>,
  start: { readonly step: number; readonly order: OrderState | undefined },
): AsyncGenerator<Prepared<Batch>, void, void> {
  let number = start.step * settings.accumulate;
  const numbered = async function* (): AsyncGenerator<TrainingBatch & { readonly number: number }> {
    for await (const batch of batches(start.order)) {
      if (number === 0) await trainee.begin?.(batch.items, mixSeed(seed, 0, 7));
      yield { ...batch, number: number++ };
    }
  };
  yield* prefetch(
    numbered(),
    async (batch) => ({
      batch: await trainee.prepare(batch.items, mixSeed(seed, batch.number, 3)),
      epoch: batch.epoch,
      order: batch.state,
    }),
    { ahead: 2 },
  );
}

async function* steps<Batch>(
  options: LoopOptions<Batch>,
  start: { readonly step: number; readonly order: OrderState | undefined },
): AsyncGenerator<BareEvent, void, void> {
  const { trainee, run, settings, signal } = options;
  const { maxSteps, accumulate, logEvery, checkpointEvery, sampleEvery, validateEvery } = settings;
  const logged = new Means();
  const scored = new Means();
  let score: number | undefined;
  let step = start.step;
  let order = start.order;
  let saved = step;
  let waiting: Prepared<Batch>[] = [];

  /** The same pictures each time, if available. */
  let shown: Batch | undefined;
  const sampleBatch = async (latest: Batch): Promise<Batch> => {
    if (!options.validation || shown) return shown ?? latest;
    for await (const { items } of options.validation()) {
      shown = await trainee.prepare(items, mixSeed(options.seed, 0, 5), 'validation');
      break;
    }
    return shown ?? latest;
  };
  const save = async function* (): AsyncGenerator<BareEvent> {
    const { state, ...content } = trainee.checkpoint();
    const whole: LoopState = { step, seed: options.seed, order: order ?? null, trainee: state };
    const path = await run.checkpoints.save({
      ...content,
      provide: finite(content.provide, step, saved),
      step,
      state: whole,
      metadata: { ...options.metadata, ...content.metadata },
      ...(score === undefined ? {} : { score }),
    });
    saved = step;
    yield { kind: 'checkpoint', step, path };
    yield { kind: 'model', step, path: await run.model(trainee.model()) };
  };

  if (step < maxSteps) {
    for await (const next of prepared(options, start)) {
      if (signal?.aborted) break;
      waiting.push(next);
      if (waiting.length < accumulate) continue;
      const learningRate = settings.learningRate * settings.schedule(step);
      const { metrics, gradientNorm } = await trainee.update(
        waiting.map(({ batch }) => batch),
        { learningRate, step },
      );
      step++;
      order = next.order;
      const latest = waiting;
      waiting = [];
      const loss = metrics['loss'] ?? Number.NaN;
      logged.add({
        ...Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`train/${name}`, value])),
        'train/grad_norm': gradientNorm,
      });
      scored.add({ loss });
      if (step % logEvery === 0 || step === maxSteps)
        await run.scalars(step, { ...logged.take(), 'train/lr': learningRate, epoch: next.epoch });
      yield { kind: 'step', step, loss };
      const saves = step % checkpointEvery === 0 || step === maxSteps;
      score = undefined;
      if (options.validation && (step % validateEvery === 0 || saves)) {
        const values = await validate(options);
        score = values[settings.monitor ?? 'val/loss'] ?? values['val/loss'];
        await run.scalars(step, values);
        yield { kind: 'validation', step, values };
      }
      if (saves && !options.validation) score = scored.take()['loss'];
      if (saves) yield* save();
      if (trainee.samples && sampleEvery > 0 && (step % sampleEvery === 0 || step === maxSteps)) {
        const { images, captions, columns } = await trainee.samples(
          await sampleBatch((latest[0] as Prepared<Batch>).batch),
        );
        if (images.length > 0)
          yield {
            kind: 'samples',
            step,
            path: await run.samples(step, images, { captions, columns }),
          };
      }
      if (step >= maxSteps || signal?.aborted) break;
    }
  }
  if (step > saved) yield* save();
  if (step < maxSteps && !signal?.aborted)
    throw new StableDiffusionError('invalid-argument', `The data ended after ${step} of ${maxSteps} steps.`);
  yield { kind: 'end', step, status: step >= maxSteps ? 'finished' : 'stopped' };
}

/** Weights that are not finite never replace a checkpoint. */
function finite(provide: TensorProvider, step: number, saved: number): TensorProvider {
  return async (entry) => {
    const tensor = await provide(entry);
    if (tensor.dtype === 'float32' && !(tensor.data as Float32Array).every(Number.isFinite)) {
      throw new StableDiffusionError(
        'not-finite',
        `${entry.name} is not finite after step ${step}; the checkpoint of step ${saved} stays. Lower the learning rate, clip gradients, or check the data.`,
      );
    }
    return tensor;
  };
}

/** Means over the validation batches, which have the same draws each time. */
async function validate<Batch>({ trainee, validation, seed }: LoopOptions<Batch>): Promise<Record<string, number>> {
  if (!validation || !trainee.validate) return {};
  const means = new Means();
  let number = 0;
  for await (const { items } of validation()) {
    const values = await trainee.validate(await trainee.prepare(items, mixSeed(seed, number++, 5), 'validation'));
    means.add(Object.fromEntries(Object.entries(values).map(([name, value]) => [`val/${name}`, value])));
  }
  return means.take();
}
