/**
 * One model of several files: a UNet with or without the other parts, a separate autoencoder (VAE), separate text encoders; and one file whose
 * parts have the names of a diffusers folder's components (`unet.…`, `vae.…`, `text_encoder.…`).
 */

import type { ClipTextConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { joined, withNames, withoutPrefix, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

import { type DetectedNetwork, detectNetwork } from './detect.ts';
import { conditionerPrefix } from './infer/condition.ts';
import { contextWidthOf, familyOfContext, refuseAutoencoder } from './model-families.ts';
import { hasPrefix } from './infer/shapes.ts';
import { openClipNames } from './text-tower.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export interface SeparateParts {
  /** In place of the model's own autoencoder, or where it has none. */
  readonly vae?: WeightSource | undefined;
  /** In place of the model's own; two for SDXL, in any order. */
  readonly textEncoders?: readonly WeightSource[] | undefined;
}

/** Kinds of networks that can serve as a part. */
const kindsOf = { first_stage: ['kl', 'vq'], cond_stage: ['clip_text', 'bert', 'clip_text_embedder'] } as const;
const words = { first_stage: 'an autoencoder (VAE)', cond_stage: 'a text encoder' } as const;

/** `model` with these parts under the names of a CompVis checkpoint; unchanged without any. Closes them all. Throws `model-unknown`. */
export async function putTogether(
  model: WeightSource,
  { vae, textEncoders = [] }: SeparateParts,
): Promise<WeightSource> {
  const components = componentsOf(model);
  const all = components ?? { unet: model, vae: undefined, textEncoders: [] };
  const stage = vae ?? all.vae;
  const texts = textEncoders.length > 0 ? textEncoders : all.textEncoders;
  if (!stage && texts.length === 0) return model;
  const replaced = [
    ...(stage ? [partPrefixes.first_stage] : []),
    ...(texts.length > 0 ? [partPrefixes.cond_stage, conditionerPrefix] : []),
  ];
  const own = withNames(await wholeNames(all.unet), (name) =>
    replaced.some((prefix) => name.startsWith(prefix)) ? undefined : name,
  );
  if (stage) refuseAutoencoder(stage, own);
  const sources = [
    own,
    ...(stage ? [withPrefix((await partNetwork(stage, 'first_stage')).source, partPrefixes.first_stage)] : []),
    ...(await textSources(texts, own)),
  ];
  const whole = joined(sources, model.label);
  return model.metadata ? { ...whole, metadata: model.metadata } : whole;
}

/** The parts of a file that has a diffusers folder's components under their names. */
function componentsOf(
  model: WeightSource,
): { unet: WeightSource; vae?: WeightSource; textEncoders: WeightSource[] } | undefined {
  const part = (prefix: string): WeightSource[] =>
    hasPrefix(model.entries, prefix)
      ? [
          withoutPrefix(
            withNames(model, (name) => (name.startsWith(prefix) ? name : undefined)),
            prefix,
          ),
        ]
      : [];
  const [unet] = part('unet.');
  const [vae] = part('vae.');
  const textEncoders = ['text_encoder.', 'text_encoder_2.'].flatMap(part);
  const isWhole = unet && hasPrefix(unet.entries, 'down_blocks.') && (vae || textEncoders.length > 0);
  return isWhole ? { unet, ...(vae ? { vae } : {}), textEncoders } : undefined;
}

/** Widths of the published OpenCLIP towers, whose files under the names of transformers do not tell them from CLIP's. */
const openClipWidths: ReadonlySet<number> = new Set([1024, 1280]);

/** One text encoder as CompVis's file has it, or those of SDXL as sgm's. Throws `weights-mismatch` for encoders of another family. */
async function textSources(files: readonly WeightSource[], model: WeightSource): Promise<WeightSource[]> {
  const context = contextWidthOf(model);
  const found = await Promise.all(
    files.map(async (file) => ({ file, network: await partNetwork(file, 'cond_stage') })),
  );
  const widthOf = ({ config }: DetectedNetwork): number => (config.kind === 'clip_text' ? config.hidden_size : 0);
  found.sort((a, b) => widthOf(a.network) - widthOf(b.network));
  checkWidths(
    model,
    context,
    found.map(({ file, network }) => ({ label: file.label, width: widthOf(network) })),
  );
  const isComposed = files.length > 1 || (takesVector(model) && familyOfContext(context)?.id === 'sdxl-refiner');
  return found.map(({ network: { config, source, layout } }, i) => {
    const isTower = config.kind === 'clip_text';
    const isOpen = isTower && (i === 1 || openClipWidths.has(config.hidden_size) || layout === 'openai-clip');
    const named = isOpen ? openClipNames(source, config as ClipTextConfig) : source;
    return withPrefix(named, isComposed ? `${conditionerPrefix}embedders.${i}.` : partPrefixes.cond_stage);
  });
}

const takesVector = ({ entries }: WeightSource): boolean => entries.has(`${partPrefixes.unet}label_emb.0.0.weight`);

/** Contexts of several encoders are joined along their width. */
function checkWidths(
  model: WeightSource,
  context: number | undefined,
  files: readonly { readonly label: string; readonly width: number }[],
): void {
  const sum = files.reduce((total, { width }) => total + width, 0);
  if (files.length === 0 || context === undefined || sum === 0 || sum === context) return;
  const family = familyOfContext(context);
  const own = family ? `${model.label} is ${family.model}` : `${model.label} is a UNet`;
  const needs =
    family?.id === 'sdxl'
      ? 'two, of widths 768 and 1280: give --text-encoder twice'
      : `text encoders whose widths add up to ${context}`;
  const said = files.map(({ label, width }) => `${label} has width ${width}`).join(', ');
  throw new StableDiffusionError('weights-mismatch', `${own} and takes ${needs}, but ${said}.`);
}

/** The network of a file that serves as a part. Throws `model-unknown` if it is another one. */
export async function partNetwork(source: WeightSource, part: keyof typeof kindsOf): Promise<DetectedNetwork> {
  const prefix = partPrefixes[part];
  // From a complete checkpoint its part is used.
  const alone = hasPrefix(source.entries, prefix)
    ? withNames(source, (name) => (name.startsWith(prefix) ? name : undefined))
    : source;
  const found = await detected(alone);
  if ((kindsOf[part] as readonly string[]).includes(found.config.kind)) return found;
  const { notAModel } = await import('./family.ts');
  throw (
    notAModel(source, found.config.kind) ??
    new StableDiffusionError('model-unknown', `${source.label} is not ${words[part]}; it is ${found.config.kind}.`)
  );
}

/** A network, or the error that says what else the file is. */
async function detected(source: WeightSource): Promise<DetectedNetwork> {
  try {
    return detectNetwork(source);
  } catch (error) {
    if (!(error instanceof StableDiffusionError)) throw error;
    const { notAModel } = await import('./family.ts');
    throw notAModel(source, undefined, error) ?? error;
  }
}

/** Of the whole model, beside a UNet's tensors (`infer/family.ts`). */
const marks: ReadonlySet<string> = new Set(['v_pred', 'ztsnr']);

/** A UNet alone gets the prefix that it has in a checkpoint. */
async function wholeNames(model: WeightSource): Promise<WeightSource> {
  if (Object.values(partPrefixes).some((prefix) => hasPrefix(model.entries, prefix))) return model;
  const found = await detected(model);
  if (found.config.kind !== 'unet') {
    const { notAModel } = await import('./family.ts');
    throw (
      notAModel(model, found.config.kind) ?? new StableDiffusionError('model-unknown', `${model.label} has no UNet.`)
    );
  }
  return withNames(found.source, (name) => (marks.has(name) ? name : partPrefixes.unet + name));
}
