/** The steps of a training loop: batches in order, updates, and after each what is due. */

import { alone, anyRank } from '../distributed/communicator.ts';
import { StableDiffusionError } from '../errors.ts';
import type { TensorProvider } from '../formats/safetensors-write.ts';
import type { TrainingBatch } from './data/batches.ts';
import { prefetch } from './data/prefetch.ts';
import { mixSeed, type OrderState } from './data/sample-order.ts';
import type { LoopOptions, TrainingEvent } from './loop-options.ts';
import type { LoopStart, LoopState } from './loop-state.ts';
import type { Trainee } from './trainee.ts';
import { meanOverRanks } from './step/gradient-exchange.ts';
import { type ImageLogSettings, isLogged } from './image-log.ts';
import { Means } from './means.ts';

/** An event of the steps alone, without progress. */
export type BareEvent =
  | Exclude<TrainingEvent, { kind: 'step' | 'report' | 'latents' | 'class-pictures' | 'begin' }>
  | Omit<Extract<TrainingEvent, { kind: 'step' }>, 'progress'>;

interface Prepared<Batch> {
  readonly batch: Batch;
  readonly epoch: number;
  readonly order: OrderState;
}

/** Batches made ready ahead of their step, each with the seed of its number. */
function prepared<Batch>(
  { trainee, seed, settings, batches, communicator }: LoopOptions<Batch>,
  start: LoopStart,
): AsyncGenerator<Prepared<Batch>, void, void> {
  let number = start.step * settings.accumulate;
  const numbered = async function* (): AsyncGenerator<TrainingBatch & { readonly number: number }> {
    for await (const batch of batches(start.order)) {
      if (number === 0) await trainee.begin?.(batch.items, mixSeed(seed, 0, 7), batch.places);
      yield { ...batch, number: number++ };
    }
  };
  const work = async (batch: TrainingBatch & { readonly number: number }): Promise<Prepared<Batch>> => ({
    batch: await trainee.prepare(batch.items, mixSeed(seed, batch.number, 3), 'training', batch.places),
    epoch: batch.epoch,
    order: batch.state,
  });
  return (communicator?.size ?? 1) > 1 ? oneAhead(numbered(), work) : prefetch(numbered(), work, { ahead: 2 });
}

/** `work` of each value, one ahead of its user. Values are read when the user asks, so that ranks read at the same point of their work. */
async function* oneAhead<T, R>(
  source: AsyncGenerator<T, void, void>,
  work: (value: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  let waiting: Promise<R> | undefined;
  try {
    for await (const value of source) {
      const next = work(value);
      next.catch(() => undefined); // it is thrown when its turn comes
      const last = waiting;
      waiting = next;
      if (last) yield await last;
    }
    if (waiting) yield await waiting;
  } finally {
    await waiting?.catch(() => undefined);
  }
}

/** The steps from `start` to the end of the settings or the signal. */
export async function* trainingSteps<Batch>(
  options: LoopOptions<Batch>,
  start: LoopStart,
): AsyncGenerator<BareEvent, void, void> {
  const { settings, signal, communicator = alone } = options;
  const { maxSteps, accumulate } = settings;
  const work = new StepWork(options, start);
  let waiting: Prepared<Batch>[] = [];
  // Several ranks stop at the same step, whichever of them the signal reached.
  const stops = async (): Promise<boolean> => anyRank(communicator, signal?.aborted ?? false);
  let stopped = await stops();
  if (start.step < maxSteps && !stopped) {
    for await (const next of prepared(options, start)) {
      if (communicator.size === 1 && signal?.aborted) break;
      waiting.push(next);
      if (waiting.length < accumulate) continue;
      yield* work.step(waiting);
      waiting = [];
      stopped = await stops();
      if (work.done >= maxSteps || stopped) break;
    }
  }
  stopped ||= communicator.size === 1 && signal?.aborted === true;
  if (work.done > work.saved) yield* work.save();
  if (work.done < maxSteps && !stopped)
    throw new StableDiffusionError('invalid-argument', `The data ended after ${work.done} of ${maxSteps} steps.`);
  if (work.done >= maxSteps && start.step < maxSteps) yield* work.test();
  // The process may have ended between the last checkpoint and its model.
  if (start.step > 0 && start.step >= maxSteps) yield* work.model();
  yield { kind: 'end', step: work.done, status: work.done >= maxSteps ? 'finished' : 'stopped' };
}

/** One step after the other: the update, then what is due after it (metrics, validation, checkpoint, samples). */
class StepWork<Batch> {
  /** Steps done, and steps done when the last checkpoint was saved. */
  done: number;
  saved: number;
  readonly #options: LoopOptions<Batch>;
  readonly #logged = new Means();
  readonly #scored = new Means();
  #order: OrderState | undefined;
  #score: number | undefined;
  /** The pictures of sample grids: the same each time, if there are validation data. */
  #shown: Batch | undefined;

  constructor(options: LoopOptions<Batch>, start: LoopStart) {
    this.#options = options;
    this.done = start.step;
    this.saved = start.step;
    this.#order = start.order;
  }

  /** One update from these batches, and what is due after it. */
  async *step(batches: readonly Prepared<Batch>[]): AsyncGenerator<BareEvent> {
    const { run, settings, validation } = this.#options;
    const [first, last] = [batches[0], batches.at(-1)];
    if (!first || !last) return;
    const step = this.done + 1;
    const loss = await this.#update(batches, last);
    yield { kind: 'step', step, loss };
    if (this.#isDue(step)) await this.#options.trainee.settle?.();
    const asked = await anyRank(this.#options.communicator ?? alone, this.#options.takeSaveRequest?.() ?? false);
    const saves = asked || this.#isSaved(step);
    this.#score = undefined;
    if (validation && (step % settings.validateEvery === 0 || saves)) {
      const values = await inAverages(this.#options.trainee, () => measured(this.#options, validation, 'val'));
      this.#score = values[settings.monitor ?? 'val/loss'] ?? values['val/loss'];
      await run.scalars(step, values);
      yield { kind: 'validation', step, values };
    }
    if (saves && !validation) this.#score = this.#scored.take()['loss'];
    if (saves) yield* this.save();
    if (settings.sampleEvery > 0 && (step % settings.sampleEvery === 0 || step === settings.maxSteps))
      yield* this.#samples(first.batch);
    const { imageLog } = settings;
    if (imageLog && isLogged(imageLog, step)) await this.#logImages(imageLog, first);
  }

  /** Whether validation or a checkpoint is due. */
  #isDue(step: number): boolean {
    return this.#isSaved(step) || step % this.#options.settings.validateEvery === 0;
  }

  #isSaved(step: number): boolean {
    const { checkpointEvery, keepEvery = 0, maxSteps } = this.#options.settings;
    return step % checkpointEvery === 0 || (keepEvery > 0 && step % keepEvery === 0) || step === maxSteps;
  }

  /** The metrics of the test data, after the last step. */
  async *test(): AsyncGenerator<BareEvent> {
    const { run, trainee, test } = this.#options;
    if (!test) return;
    const values = await inAverages(trainee, () => measured(this.#options, test, 'test'));
    await run.scalars(this.done, values);
    yield { kind: 'validation', step: this.done, values };
  }

  /** Saves a checkpoint and the model. */
  async *save(): AsyncGenerator<BareEvent> {
    const { trainee, run, seed, metadata } = this.#options;
    await trainee.settle?.();
    const { state, ...content } = trainee.checkpoint();
    const step = this.done;
    const whole: LoopState = { step, seed, order: this.#order ?? null, trainee: state };
    const path = await run.checkpoints.save({
      ...content,
      provide: finite(content.provide, step, this.saved),
      step,
      state: whole,
      metadata: { ...metadata, ...content.metadata },
      ...(this.#score === undefined ? {} : { score: this.#score }),
    });
    this.saved = step;
    yield { kind: 'checkpoint', step, path };
    yield* this.model();
  }

  /** Writes the model as it is now. */
  async *model(): AsyncGenerator<BareEvent> {
    const { trainee, run } = this.#options;
    const path = await inAverages(trainee, async () => {
      for (const [name, content] of Object.entries(trainee.furtherModels?.() ?? {})) await run.model(content, name);
      return run.model(trainee.model());
    });
    yield { kind: 'model', step: this.done, path };
  }

  /** Returns the loss. */
  async #update(batches: readonly Prepared<Batch>[], last: Prepared<Batch>): Promise<number> {
    const { trainee, run, settings } = this.#options;
    const learningRate = settings.learningRate * settings.schedule(this.done);
    const { metrics, gradientNorm } = await trainee.update(
      batches.map(({ batch }) => batch),
      { learningRate, step: this.done },
    );
    this.done++;
    this.#order = last.order;
    const loss = metrics['loss'] ?? Number.NaN;
    this.#logged.add({
      ...Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`train/${name}`, value])),
      'train/grad_norm': gradientNorm,
    });
    this.#scored.add({ loss });
    if (this.done % settings.logEvery === 0 || this.done === settings.maxSteps)
      await run.scalars(this.done, { ...this.#logged.take(), 'train/lr': learningRate, epoch: last.epoch });
    return loss;
  }

  async *#samples(latest: Batch): AsyncGenerator<BareEvent> {
    const { trainee, run } = this.#options;
    if (!trainee.samples) return;
    // Ranks read validation data together; rank 0 alone makes the pictures.
    const batch = await this.#sampleBatch(latest);
    const isFirst = (this.#options.communicator?.rank ?? 0) === 0;
    const made = await inAverages(trainee, async () => (isFirst ? trainee.samples?.(batch) : undefined));
    if (!made || made.images.length === 0) return;
    const { images, captions, columns } = made;
    yield { kind: 'samples', step: this.done, path: await run.samples(this.done, images, { captions, columns }) };
  }

  /** Of the batch that was trained on, and of validation data. */
  async #logImages(settings: ImageLogSettings, { batch, epoch }: Prepared<Batch>): Promise<void> {
    const { trainee, run, validation, settings: loop, communicator = alone } = this.#options;
    if (!trainee.imageLog) return;
    const { return_keys: keys = [] } = settings.log;
    for (const split of validation ? (['train', 'val'] as const) : (['train'] as const)) {
      const shown = split === 'train' ? batch : await this.#sampleBatch(batch);
      const place = { split, step: this.done, epoch, batch: split === 'train' ? this.done * loop.accumulate - 1 : 0 };
      await inAverages(trainee, async () => {
        if (communicator.rank > 0) return;
        for await (const pictures of trainee.imageLog?.(shown, settings) ?? [])
          if (keys.length === 0 || keys.includes(pictures.name)) await run.logged(pictures, place);
      });
    }
  }

  async #sampleBatch(latest: Batch): Promise<Batch> {
    const { trainee, validation, seed } = this.#options;
    if (!validation || this.#shown) return this.#shown ?? latest;
    for await (const { items, places } of validation()) {
      this.#shown = await trainee.prepare(items, mixSeed(seed, 0, 5), 'validation', places);
      break;
    }
    return this.#shown ?? latest;
  }
}

/** Does what needs averages. */
const inAverages = <T>(trainee: Pick<Trainee<never>, 'withAverages'>, work: () => Promise<T>): Promise<T> =>
  trainee.withAverages ? trainee.withAverages(work) : work();

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

/** Means over batches that are not trained on, which have the same draws each time. */
async function measured<Batch>(
  { trainee, seed, communicator = alone }: LoopOptions<Batch>,
  batches: () => AsyncIterable<TrainingBatch>,
  prefix: 'val' | 'test',
): Promise<Record<string, number>> {
  if (!trainee.validate) return {};
  const means = new Means();
  let number = 0;
  for await (const { items, places } of batches()) {
    const batch = await trainee.prepare(items, mixSeed(seed, number++, 5), 'validation', places);
    const values = await meanOverRanks(communicator, await trainee.validate(batch));
    means.add(Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value])));
  }
  return means.take();
}
