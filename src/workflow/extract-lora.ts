/**
 * Differences of models as LoRAs, as ComfyUI's LoraSave writes them (comfy_extras/nodes_lora_extract.py): matrices as factors of a
 * rank, or whole.
 */

import { throwIfAborted } from '../errors.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { convert, toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { weightView, type ViewEntry } from '../weights/view.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import type { NodeContext } from './context-in-run.ts';
import { factorsOf, type LoraFactors } from './lora-factors.ts';
import { numberedName } from './numbered-name.ts';
import type { ClipValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';

export interface ExtractOptions {
  readonly rank: number;
  /** Whole differences in place of factors. */
  readonly full: boolean;
  /** Differences of biases and norms too. */
  readonly withBiases: boolean;
}

type Reader = (signal?: AbortSignal) => Promise<Tensor>;
const halves = (name: string, shape: readonly number[], read: Reader): ViewEntry => ({
  entry: { name, dtype: 'float16', shape },
  read: async (signal) => convert(await read(signal), 'float16'),
});

/** The tensors of the LoRA for one tensor of the difference. */
function tensorsOf(
  source: WeightSource,
  { name, shape }: WeightEntry,
  [own, key]: readonly [own: string, key: string],
  { rank, full, withBiases }: ExtractOptions,
): readonly ViewEntry[] {
  const whole: Reader = (signal) => source.read(name, signal);
  if (own.endsWith('.bias')) return withBiases ? [halves(`${key}.diff_b`, shape, whole)] : [];
  if (!own.endsWith('.weight')) return [];
  if (full || shape.length < 2) return full || withBiases ? [halves(`${key}.diff`, shape, whole)] : [];
  const [rows = 1, inputs = 1, ...kernel] = shape;
  const count = Math.min(rank, rows, inputs);
  // The two are written one after another.
  let made: Promise<LoraFactors> | undefined;
  const factors = async (signal?: AbortSignal): Promise<LoraFactors> => {
    const turn = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve));
      throwIfAborted(signal);
    };
    made ??= source.read(name, signal).then((value) => factorsOf(toFloat32(value), rank, turn));
    return made;
  };
  const down: Reader = async (signal) => (await factors(signal)).down;
  const up: Reader = async (signal) => {
    const { up: value } = await factors(signal);
    made = undefined;
    return value;
  };
  return [
    halves(`${key}.lora_down.weight`, [count, inputs, ...kernel], down),
    halves(`${key}.lora_up.weight`, kernel.length > 0 ? [rows, count, 1, 1] : [rows, count], up),
  ];
}

const extracted = (source: WeightSource, prefix: string, options: ExtractOptions): readonly ViewEntry[] =>
  [...source.entries.values()].flatMap((entry) => {
    const key = `${prefix}${entry.name.replace(/\.(?:weight|bias)$/, '')}`;
    return tensorsOf(source, entry, [entry.name, key], options);
  });

/** Writes the LoRA of a difference of models, of text encoders, or both. */
export async function saveExtractedLora(
  { model, clip }: { readonly model: ModelValue | undefined; readonly clip: ClipValue | undefined },
  prefix: string,
  options: ExtractOptions,
  { files, signal }: NodeContext,
): Promise<void> {
  const { subfolder, name, counter } = await files.place('output', prefix);
  const entries = [
    ...(model ? extracted(model.network.weights, 'diffusion_model.', options) : []),
    ...(clip?.encoders ?? []).flatMap((encoder) =>
      extracted(encoder.network.weights, `text_encoders.clip_${encoder.name}.`, options),
    ),
  ];
  const source = weightView('the difference', entries, []);
  const chunks = writeSafetensors(
    source.entries.values(),
    (entry) => source.read(entry.name, signal),
    signal ? { signal } : {},
  );
  await files.write('output', subfolder, numberedName(name, counter, 'safetensors'), chunks);
}
