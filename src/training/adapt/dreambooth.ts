/**
 * DreamBooth (Ruiz et al. 2023): the whole UNet, and optionally the text encoder, fine-tuned on a few pictures of a subject, with pictures of
 * its class that the model made before, so that it does not forget the class. A LoRA is trained in the same way with `prior` in
 * `createLoraTrainee`.
 */

import type { Tensors } from '../../engine/engine.ts';
import type { Tensor } from '../../tensor/tensor.ts';

import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { compVisWeights } from '../../checkpoints/convert-layout.ts';
import { aliased, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { TrainingBatch } from '../data/batches.ts';
import type { OrderState } from '../data/sample-order.ts';
import type { TrainingItem } from '../data/sample.ts';
import type { TrainStep } from '../step/train-step.ts';
import type { Trainee } from '../trainee.ts';
import { type AdapterModelOptions, createAdapterStep } from './adapter-trainee.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';
import { textConditionOf } from './text-condition.ts';

export interface DreamBoothOptions extends AdapterModelOptions {
  /** Trains the text encoder too: better likeness, more memory. Default false. */
  readonly trainText?: boolean;
  /** Factor on the text encoder's learning rate. Default 1. */
  readonly textLearningRateScale?: number;
}

/** The model to be fine-tuned. Its batches are instance items and, with `prior`, class items (`withPriorItems`). `model()` gives the whole checkpoint. */
export async function createDreamBoothTrainee(options: DreamBoothOptions): Promise<Trainee<Tensors>> {
  const { trainText = false, textLearningRateScale = 1, weightDecay, checkpoint } = options;
  const decay = weightDecay === undefined ? {} : { weightDecay };
  const common = await createAdapterStep(options, {
    traceText: trainText,
    adapted: async (step) => ({ checkpoint: withTrained(checkpoint, step) }),
    treatment: (name) =>
      name.startsWith(partPrefixes.unet) ? decay : { ...decay, learningRateScale: textLearningRateScale },
  });
  const { step } = common;
  return {
    ...common,
    model() {
      const whole = compVisWeights(withTrained(checkpoint, step));
      return { entries: [...whole.entries.values()], provide: ({ name }) => whole.read(name) };
    },
    [Symbol.asyncDispose]: () => common.dispose(),
  };
}

/** A checkpoint whose trained tensors are read from the step in their current state. */
function withTrained(checkpoint: Checkpoint, step: TrainStep): Checkpoint {
  const trained = new Set(step.trained);
  const part = (source: WeightSource, prefix: string): WeightSource =>
    weightView(
      source.label,
      Array.from(source.entries.keys(), (name) => {
        const known = aliased(source, name);
        const own = prefix + name;
        return trained.has(own)
          ? {
              entry: { ...known.entry, dtype: 'float32' as const },
              read: async () => (await step.parameters([own]))[own] as Tensor,
            }
          : known;
      }),
      [source],
    );
  const { parts } = checkpoint;
  const texts = textConditionOf(checkpoint).towers.map(({ part: name, prefix }) => [
    name,
    part(parts[name] as WeightSource, `${prefix}.`),
  ]);
  return {
    ...checkpoint,
    parts: { ...parts, unet: part(parts.unet, partPrefixes.unet), ...Object.fromEntries(texts) },
  };
}

/** Marks a class picture for prior preservation. */
export function asPriorItem<T extends TrainingItem>(item: T): T {
  return { ...item, metadata: { ...item.metadata, prior: true } };
}

/** State of both orders: that of the instance items, including that of the class items. */
export type PriorOrderState = OrderState & { readonly prior?: OrderState };

/** The places of a rank's instance and class items in a whole batch that has all instance items first. */
function joinedPlaces(
  { places: first }: TrainingBatch,
  { places: second }: TrainingBatch,
): Pick<TrainingBatch, 'places'> {
  if (!first || !second) return {};
  return {
    places: {
      rows: [...first.rows, ...second.rows.map((row) => first.total + row)],
      total: first.total + second.total,
    },
  };
}

/** Batches of instance items with as many class items behind them, both without end. */
export async function* withPriorItems(
  instance: AsyncIterable<TrainingBatch>,
  classes: AsyncIterable<TrainingBatch>,
): AsyncGenerator<TrainingBatch & { readonly state: PriorOrderState }, void, void> {
  const others = classes[Symbol.asyncIterator]();
  try {
    for await (const batch of instance) {
      const next = await others.next();
      if (next.done) return;
      yield {
        ...batch,
        state: { ...batch.state, prior: next.value.state },
        items: [...batch.items, ...next.value.items.map(asPriorItem)],
        ...joinedPlaces(batch, next.value),
      };
    }
  } finally {
    await others.return?.();
  }
}
