/**
 * The condition of a latent diffusion model in training: from the items of a batch to tensors, and from these, in the graph of the loss, to
 * the UNet's inputs. Text and class embedders are part of the graph, trained or not; concatenated inputs are computed before.
 */

import { trainingConditioner } from '../../conditioning/conditioners.ts';
import { layoutIds } from '../../conditioning/layout.ts';
import { idTensor } from '../../conditioning/text.ts';
import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { configError } from '../../config/validate.ts';
import { StableDiffusionError } from '../../errors.ts';
import { concat } from '../../graph/functions.ts';
import type { InputSpec, Params, Sym } from '../../graph/trace.ts';
import type { NetworkSymbols } from '../../models/trace-network.ts';
import { mapTensor } from '../../image/map-tensor.ts';
import { joinBatches } from '../../tensor/batches.ts';
import { int64, type Tensor } from '../../tensor/tensor.ts';
import type { BatchGenerator } from '../data/batch-generator.ts';
import { layoutOf } from '../data/layouts.ts';
import type { TrainingItem } from '../data/sample.ts';
import type { BatchPurpose } from '../trainee.ts';
import { partModules } from '../../weights/part-prefixes.ts';

/** Prefix of the parameters in a checkpoint. */
const condPrefix = partModules.cond_stage;

/** Inputs of the UNet other than the noisy latents. */
export interface TracedCondition {
  readonly context?: Sym;
  readonly y?: Sym;
  readonly concat?: Sym;
}

export interface Conditioning {
  /** Inputs of the loss's graph, for a batch of this size. */
  readonly inputs: (batch: number) => Readonly<Record<string, InputSpec>>;
  readonly trace: (p: Params, given: NetworkSymbols) => TracedCondition;
  /** Tensors for these inputs. Only for training are conditions dropped. */
  readonly prepare: (
    items: readonly TrainingItem[],
    generator: BatchGenerator,
    purpose: BatchPurpose,
  ) => Promise<Readonly<Record<string, Tensor>>>;
}

/** A share of the conditions that become another: the empty one, for guidance without a classifier (`ucg_training`). */
export interface ConditionDropout {
  readonly p: number;
  readonly val: unknown;
}

export interface ConditioningOptions {
  readonly config: LatentDiffusionConfig;
  /** Converts a text to a fixed number of ids; for models with a text encoder. */
  readonly tokenize?: (text: string) => readonly number[];
  readonly dropout?: ConditionDropout;
  /** Inputs concatenated to the latents: inpainting's mask and masked picture, super-resolution's small picture. */
  readonly concat?: Conditioning;
  /** Of the pictures, in pixels; for models of maps. */
  readonly size?: { readonly height: number; readonly width: number };
}

function dropped<T>(
  values: readonly T[],
  dropout: ConditionDropout | undefined,
  generator: BatchGenerator,
  empty: (val: unknown) => T,
): readonly T[] {
  if (!dropout || dropout.p === 0) return values;
  const other = empty(dropout.val);
  return generator.each(values, (value, draws) => (draws.uniform() < dropout.p ? other : value));
}

function textConditioning(
  { config, tokenize, dropout }: ConditioningOptions,
  trace: Conditioning['trace'],
): Conditioning {
  if (!tokenize)
    throw new StableDiffusionError(
      'invalid-argument',
      'A model with a text encoder is trained with its tokenizer, and none was given.',
    );
  const length = config.cond_stage_max_length;
  return {
    inputs: (batch) => ({ input_ids: { dtype: 'int64', shape: [batch, length] } }),
    trace,
    async prepare(items, generator, purpose) {
      const texts = dropped(
        items.map(({ caption }) => caption),
        purpose === 'training' ? dropout : undefined,
        generator,
        (val) => (typeof val === 'string' ? val : ''),
      );
      return { input_ids: idTensor(texts.map(tokenize)) };
    },
  };
}

/** The class of an item: a number in its metadata under the key, else its caption read as one. */
export function classOf({ metadata, caption, name }: TrainingItem, keys: readonly string[], count: number): number {
  const found = keys.map((key) => metadata[key]).find((value) => value !== undefined) ?? caption;
  const label =
    typeof found === 'bigint'
      ? Number(found)
      : typeof found === 'string' && found.trim() !== ''
        ? Number(found)
        : found;
  if (typeof label === 'number' && Number.isInteger(label) && label >= 0 && label < count) return label;
  throw new StableDiffusionError(
    'invalid-argument',
    `${name} needs a class from 0 to ${count - 1}, in its metadata as ${keys[0]} or as its caption, got ${JSON.stringify(String(found))}.`,
  );
}

function classConditioning(
  { config, dropout }: ConditioningOptions,
  count: number,
  trace: Conditioning['trace'],
): Conditioning {
  const keys = [config.cond_stage_key, 'class_label', 'class', 'label'];
  return {
    inputs: (batch) => ({ class: { dtype: 'int64', shape: [batch] } }),
    trace,
    async prepare(items, generator, purpose) {
      const labels = dropped(
        items.map((item) => classOf(item, keys, count)),
        purpose === 'training' ? dropout : undefined,
        generator,
        (val) => (typeof val === 'number' ? val : count - 1),
      );
      return { class: int64([labels.length], labels) };
    },
  };
}

/** Layouts in the metadata of items: `boxes`, a list of objects as in a request, and `boxClasses`. */
function layoutConditioning({ config }: ConditioningOptions, trace: Conditioning['trace']): Conditioning {
  const { cond_stage_config: stage } = config;
  if (typeof stage !== 'object' || stage?.kind !== 'bert') throw configError('Layouts need an encoder of token ids.');
  return {
    inputs: (batch) => ({ input_ids: { dtype: 'int64', shape: [batch, stage.max_seq_len] } }),
    trace,
    prepare: async (items) => ({
      input_ids: idTensor(items.map((item) => layoutIds(layoutOf(item), stage, item.name))),
    }),
  };
}

/** Maps of the items, one-hot [b, classes, h, w]. */
function mapConditioning(classes: number, { size }: ConditioningOptions, trace: Conditioning['trace']): Conditioning {
  const { height, width } = size ?? { height: 0, width: 0 };
  return {
    inputs: (batch) => ({ map: { dtype: 'float32', shape: [batch, classes, height, width] } }),
    trace,
    async prepare(items) {
      const maps = items.map((item) => {
        if ('image' in item && item.map) return mapTensor(item.map, classes);
        throw new StableDiffusionError(
          'invalid-argument',
          `${item.name} has no map of classes. Name it as conditioning_image in metadata.jsonl, or put it into the shard as map.png.`,
        );
      });
      return { map: joinBatches(maps) };
    },
  };
}

const none: Conditioning = { inputs: () => ({}), trace: () => ({}), prepare: async () => ({}) };

function embedded(options: ConditioningOptions): Conditioning {
  const { takes, classes, trace } = trainingConditioner(options.config);
  const { cond_stage_config: stage } = options.config;
  if (!trace)
    throw configError(
      `A model whose condition is a ${typeof stage === 'object' ? stage?.kind : stage} cannot be trained here; text (FrozenCLIPEmbedder, BERTEmbedder), classes, boxes, maps of classes, masks and small pictures can.`,
    );
  const inScope: Conditioning['trace'] = (p, given) => trace(p.under(condPrefix), given);
  if (takes === 'texts') return textConditioning(options, inScope);
  if (takes === 'layouts') return layoutConditioning(options, inScope);
  if (takes === 'maps') return mapConditioning(classes, options, inScope);
  return takes === 'classes' ? classConditioning(options, classes, inScope) : none;
}

/** The conditioning of a model. Throws `config-invalid` for one that cannot be trained. */
export function conditioningOf(options: ConditioningOptions): Conditioning {
  const first = embedded(options);
  const { concat: second } = options;
  if (!second) return first;
  return {
    inputs: (batch) => ({ ...first.inputs(batch), ...second.inputs(batch) }),
    trace: (p, given) => ({ ...first.trace(p, given), ...second.trace(p, given) }),
    prepare: async (items, generator, purpose) => ({
      ...(await first.prepare(items, generator, purpose)),
      ...(await second.prepare(items, generator, purpose)),
    }),
  };
}

/** Noisy latents with what is concatenated to them. */
export function withConcat(x: Sym, { concat: more }: TracedCondition): Sym {
  return more ? concat([x, more], 1) : x;
}
