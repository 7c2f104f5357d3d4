/**
 * The strict comparison of the parameters a network declares with those a file holds: missing, unexpected and misshapen, by name.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Shape } from '../tensor/tensor.ts';
import { scheduleBuffers } from '../weights/convert-dtype.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** A parameter as a network declares it. */
export interface DeclaredParameter {
  readonly name: string;
  readonly shape: Shape;
}

export interface Misshapen {
  readonly name: string;
  readonly expected: Shape;
  readonly found: Shape;
}

export interface WeightReport {
  readonly label: string;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misshapen: readonly Misshapen[];
  /** Names that no network uses and that real files hold; see `ignoredNames`. */
  readonly ignored: readonly string[];
}

/**
 * Entries of real files that are not parameters of a network. They are ignored only if the network does not declare them.
 * Each has a reason, for documentation and for `sd inspect`.
 */
export const ignoredNames: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /(^|\.)position_ids$/, reason: 'a buffer of transformers before 4.31: 0, 1, 2, …' },
  { pattern: scheduleBuffers, reason: 'the noise schedule of DDPM, computed from the configuration' },
  {
    pattern: /^(logvar|scale_factor|cond_ids)$/,
    reason: 'a buffer of LatentDiffusion that sampling does not use, or that checkpoint.ts reads',
  },
  { pattern: /^(model_ema|ema)\./, reason: 'averaged weights, used on request' },
  {
    pattern: /^(first_stage_model\.|cond_stage_model\.)?(loss|colorize|model_ema)(\.|$)/,
    reason: 'losses, discriminator and averages of the autoencoder’s training',
  },
  {
    pattern:
      /^(v_pred|ztsnr|edm_mean|edm_std|edm_vpred\.sigma_(min|max)|denoiser\.sigmas)$|(^|\.)(logit_scale|attn_mask)$/,
    reason:
      'markers and buffers of SD 2.x and SDXL files: the kind of prediction, the table of noise, CLIP’s temperature',
  },
  { pattern: /(^|\.)num_batches_tracked$/, reason: 'a count that BatchNorm keeps and does not use' },
  {
    pattern: /(^|\.)(input_resolution|context_length|vocab_size)$/,
    reason: 'numbers that OpenAI’s scripted CLIP keeps as tensors',
  },
  {
    pattern:
      /^(cond_stage_model\.)?(transformer\.)?(logit_scale|(text_model\.)?text_projection(\.weight)?|visual_projection\.weight|vision_model\..+)$/,
    reason: 'parts of CLIP that compare a text with a picture, which ComfyUI and others save along',
  },
  {
    pattern: /^(embedding_manager|lora_te_text_model|global_step|epoch)(\.|$)/,
    reason: 'the state of a training of embeddings',
  },
  {
    pattern: /(^|\.)to_logits\.(weight|bias)$/,
    reason: 'the output layer of BERTEmbedder, which embedding does not use',
  },
];

/** The reason to ignore a name; undefined if it must not be ignored. */
export function ignoredReason(name: string): string | undefined {
  return ignoredNames.find(({ pattern }) => pattern.test(name))?.reason;
}

/** Compares the declared parameters with the names and shapes of a source. Reads no tensor. */
export function compareParameters(declared: Iterable<DeclaredParameter>, source: WeightSource): WeightReport {
  const missing: string[] = [];
  const misshapen: Misshapen[] = [];
  const names = new Set<string>();
  for (const { name, shape } of declared) {
    names.add(name);
    const entry = source.entries.get(name);
    if (!entry) missing.push(name);
    else if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
      misshapen.push({ name, expected: shape, found: entry.shape });
    }
  }
  const others = [...source.entries.keys()].filter((name) => !names.has(name));
  const isIgnored = (name: string) => ignoredReason(name) !== undefined;
  return {
    label: source.label,
    missing,
    unexpected: others.filter((name) => !isIgnored(name)),
    misshapen,
    ignored: others.filter(isIgnored),
  };
}

/** True if nothing is missing, unexpected or misshapen. */
export function isMatch(report: WeightReport): boolean {
  return report.missing.length === 0 && report.unexpected.length === 0 && report.misshapen.length === 0;
}

/** Throws `weights-mismatch`, naming what differs; `details` holds the whole report. */
export function assertMatch(report: WeightReport): void {
  if (isMatch(report)) return;
  const parts = [
    listed('missing', report.missing),
    listed('unexpected', report.unexpected),
    listed(
      'misshapen',
      report.misshapen.map(
        ({ name, expected, found }) => `${name} [${found.join(', ')}] instead of [${expected.join(', ')}]`,
      ),
    ),
  ].filter((part) => part !== '');
  throw new StableDiffusionError(
    'weights-mismatch',
    `${report.label} does not fit its network. ${parts.join(' ')} Check that the configuration belongs to this file.`,
    {
      details: { ...report },
    },
  );
}

function listed(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length > 6 ? `, and ${names.length - 6} more` : '';
  return `${names.length} ${what}: ${names.slice(0, 6).join(', ')}${more}.`;
}
