/**
 * Batches of several ranks that train together. The order of samples is that of one process with the whole batch; each rank has a part of
 * every batch, and decodes that part alone. So N ranks with batches of b see what one rank with batches of N·b sees, whichever samples
 * turn out to be broken or filtered: the ranks tell each other which of theirs are usable.
 */

import { type Communicator, rangeCounts, rangeOf } from '../../distributed/communicator.ts';
import { StableDiffusionError } from '../../errors.ts';
import { type BatchOptions, prepareItem, type TrainingBatch } from './batches.ts';
import { type SampleDraw, sampleDraws } from './sample-order.ts';
import type { SampleSource, TrainingItem } from './sample.ts';

interface Planned {
  readonly draw: SampleDraw;
  /** Once this rank has begun to prepare it. */
  item?: Promise<TrainingItem | undefined>;
}

/** Draws in order, of which the next are prepared ahead. */
class Plan {
  readonly #draws: AsyncGenerator<SampleDraw, void, void>;
  readonly #prepare: (draw: SampleDraw) => Promise<TrainingItem | undefined>;
  readonly #waiting: Planned[] = [];
  readonly #begun = new Set<Promise<unknown>>();

  constructor(
    draws: AsyncGenerator<SampleDraw, void, void>,
    prepare: (draw: SampleDraw) => Promise<TrainingItem | undefined>,
  ) {
    this.#draws = draws;
    this.#prepare = prepare;
  }

  async #fill(count: number): Promise<void> {
    while (this.#waiting.length < count) {
      const next = await this.#draws.next();
      if (next.done) return;
      this.#waiting.push({ draw: next.value });
    }
  }

  /** The next draws; fewer at the end of the data. */
  async take(count: number): Promise<Planned[]> {
    await this.#fill(count);
    return this.#waiting.splice(0, count);
  }

  item(planned: Planned): Promise<TrainingItem | undefined> {
    if (planned.item) return planned.item;
    const item = this.#prepare(planned.draw);
    planned.item = item;
    this.#begun.add(item);
    // An error is thrown when its turn comes.
    item.catch(() => undefined).finally(() => this.#begun.delete(item));
    return item;
  }

  /** Begins with items of the draws after the last. */
  async ahead(count: number, { start, end }: { readonly start: number; readonly end: number }): Promise<void> {
    await this.#fill(count);
    for (const planned of this.#waiting.slice(start, end)) void this.item(planned);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#begun);
    await this.#draws.return();
  }
}

/**
 * Batches without end: `batchSize` items on each rank. All ranks ask for the next at the same point of their work.
 * Throws `invalid-argument` where a whole pass gave no item, or what the source throws.
 */
export async function* sharedBatches(
  source: SampleSource,
  options: BatchOptions,
  ranks: Communicator,
): AsyncGenerator<TrainingBatch, void, void> {
  const total = options.batchSize * ranks.size;
  const plan = new Plan(sampleDraws(source, { ...options, repeat: true }), async ({ read, seed }) => {
    const sample = await read();
    return sample && prepareItem(sample, seed, options);
  });
  const own = rangeOf(total, ranks);
  const rows = Array.from({ length: own.end - own.start }, (_, i) => own.start + i);
  const epochs = new EpochCheck(options.state?.epoch ?? 0, (options.state?.drawn ?? 0) > 0);
  try {
    for (;;) {
      const usable: Planned[] = [];
      let last: SampleDraw | undefined;
      while (usable.length < total) {
        const round = await plan.take(total - usable.length);
        last = round.at(-1)?.draw ?? last;
        if (round.length === 0) return;
        const { start, end } = rangeOf(round.length, ranks);
        const items = await Promise.all(round.slice(start, end).map((planned) => plan.item(planned)));
        const flags = await ranks.allGather(
          Uint8Array.from(items, (item) => (item ? 1 : 0)),
          rangeCounts(round.length, ranks.size),
        );
        for (const [i, planned] of round.entries())
          if (epochs.add(planned.draw.epoch, flags[i] === 1, source.label, options)) usable.push(planned);
      }
      const items = await Promise.all(usable.slice(own.start, own.end).map((planned) => plan.item(planned)));
      if (!last || items.some((item) => !item))
        throw new StableDiffusionError(
          'config-invalid',
          `${source.label} differs between the ranks: a sample that one could use another could not.`,
        );
      await plan.ahead(total, own);
      yield { items: items as TrainingItem[], epoch: epochs.epoch, state: last.state, places: { rows, total } };
    }
  } finally {
    await plan.close();
  }
}

/** That no whole epoch passes without an item. */
class EpochCheck {
  epoch: number;
  #found: boolean;

  constructor(epoch: number, found: boolean) {
    this.epoch = epoch;
    this.#found = found;
  }

  /** Gives back `usable`. */
  add(epoch: number, usable: boolean, label: string, { problems }: Pick<BatchOptions, 'problems'>): boolean {
    if (epoch !== this.epoch) {
      if (!this.#found)
        throw new StableDiffusionError(
          'invalid-argument',
          `${label}: a whole pass gave no item to train on. What was left out:\n${problems.summary()}`,
        );
      this.epoch = epoch;
      this.#found = false;
    }
    this.#found ||= usable;
    return usable;
  }
}
