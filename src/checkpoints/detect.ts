/**
 * Detects the network in a file from names and shapes alone: its configuration, its layout, and its weights under canonical names.
 * A new network is one line in `detectors`.
 */

import { inferDptHybrid, isDptHybrid } from './infer/dpt-hybrid.ts';
import { clipImageEmbedderConfigSchema, type NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { type CanonicalWeights, canonicalWeights } from './canonical.ts';
import {
  inferCompVisAutoencoder,
  inferDiffusersAutoencoder,
  inferTaesd,
  isCompVisAutoencoder,
  isDiffusersAutoencoder,
  isTaesd,
  originalTaesdHalf,
} from './infer/autoencoder.ts';
import {
  inferControlNet,
  inferDiffusersControlNet,
  inferGligen,
  inferIpAdapter,
  inferLightT2IAdapter,
  inferT2IAdapter,
  inferT2IStyle,
  isControlNet,
  isDiffusersControlNet,
  isGligen,
  isIpAdapter,
  isLightT2IAdapter,
  isT2IAdapter,
  isT2IStyle,
} from './infer/adapters.ts';
import {
  inferClipText,
  inferClipVision,
  inferOpenAiClip,
  inferOpenClipText,
  inferSafetyChecker,
  isOpenClipText,
  isSafetyChecker,
} from './infer/clip.ts';
import {
  inferBertEmbedder,
  inferClassEmbedder,
  inferSpatialRescaler,
  isBertEmbedder,
  isClassEmbedder,
  isSpatialRescaler,
} from './infer/embedders.ts';
import { inferDiscriminator, inferLpips, isDiscriminator, isLpips } from './infer/losses.ts';
import { inferDdpmUNet, inferLucidUNet, isDdpmUNet } from './infer/pixel-unets.ts';
import { type Entries, hasPrefix, type Inferred, inferred } from './infer/shapes.ts';
import { inferIfUNet, isIfUNetFile } from './infer/if-unet.ts';
import { inferT5Encoder, isT5Encoder } from './infer/t5-encoder.ts';
import { inferCompVisUNet, inferDiffusersUNet, isCompVisUNet, isDiffusersUNet } from './infer/unet.ts';
import { safetyCheckerMap } from './layouts/variants.ts';
import { openLucidFile } from './lucid-file.ts';
import { renamed } from './rename.ts';
import { withNames, withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export interface DetectedNetwork extends CanonicalWeights {
  readonly config: NetworkConfig;
  /** Settings that names and shapes do not reveal, with the assumed value. */
  readonly assumed: readonly string[];
}

interface Detector {
  readonly matches: (entries: Entries) => boolean;
  readonly infer: (source: WeightSource) => Inferred<NetworkConfig>;
}

/** In order: the first that matches. Each sees the names without the prefix of a part. */
const detectors: readonly Detector[] = [
  { matches: isIfUNetFile, infer: ({ entries }) => inferIfUNet(entries) },
  { matches: isCompVisUNet, infer: ({ entries }) => inferCompVisUNet(entries) },
  { matches: isDiffusersUNet, infer: ({ entries }) => inferDiffusersUNet(entries) },
  { matches: isDdpmUNet, infer: ({ entries }) => inferDdpmUNet(entries) },
  { matches: isControlNet, infer: ({ entries }) => inferControlNet(entries) },
  { matches: isDiffusersControlNet, infer: ({ entries }) => inferDiffusersControlNet(entries) },
  { matches: isT2IStyle, infer: ({ entries }) => inferT2IStyle(entries) },
  { matches: isLightT2IAdapter, infer: ({ entries }) => inferLightT2IAdapter(entries) },
  { matches: isT2IAdapter, infer: ({ entries }) => inferT2IAdapter(entries) },
  { matches: isGligen, infer: ({ entries }) => inferGligen(entries) },
  { matches: isIpAdapter, infer: ({ entries }) => inferIpAdapter(entries) },
  { matches: isCompVisAutoencoder, infer: ({ entries }) => inferCompVisAutoencoder(entries) },
  { matches: isDiffusersAutoencoder, infer: ({ entries }) => inferDiffusersAutoencoder(entries) },
  { matches: isTaesd, infer: ({ entries }) => inferTaesd(entries) },
  { matches: (entries) => originalTaesdHalf(entries) !== undefined, infer: inferOriginalTaesd },
  { matches: isSafetyChecker, infer: inferSafety },
  { matches: isOpenClipText, infer: ({ entries }) => inferOpenClipText(entries) },
  { matches: (entries) => entries.has('model.visual.conv1.weight'), infer: inferImageEmbedder },
  {
    matches: (entries) => entries.has('visual.conv1.weight') || hasPrefix(entries, 'visual.layer1.'),
    infer: ({ entries }) => inferOpenAiClip(entries),
  },
  ...['transformer.text_model.', 'transformer.', 'text_model.', ''].map((prefix) => ({
    matches: (entries: Entries) => entries.has(`${prefix}embeddings.token_embedding.weight`),
    infer: ({ entries }: WeightSource) =>
      inferClipText(
        entries,
        prefix,
        prefix.startsWith('transformer.') ? 'transformer.text_projection.weight' : undefined,
      ),
  })),
  {
    matches: (entries) => entries.has('vision_model.embeddings.patch_embedding.weight'),
    infer: ({ entries }) => inferClipVision(entries),
  },
  { matches: isDptHybrid, infer: ({ entries }) => inferDptHybrid(entries) },
  { matches: isT5Encoder, infer: ({ entries }) => inferT5Encoder(entries) },
  { matches: isBertEmbedder, infer: ({ entries }) => inferBertEmbedder(entries) },
  { matches: isClassEmbedder, infer: ({ entries }) => inferClassEmbedder(entries) },
  { matches: isSpatialRescaler, infer: ({ entries }) => inferSpatialRescaler(entries) },
  ...['', 'loss.perceptual_loss.'].map((prefix) => ({
    matches: (entries: Entries) => isLpips(without(entries, prefix)),
    infer: ({ entries }: WeightSource) => inferLpips(without(entries, prefix)),
  })),
  ...['', 'loss.discriminator.'].map((prefix) => ({
    matches: (entries: Entries) => isDiscriminator(without(entries, prefix)),
    infer: ({ entries }: WeightSource) => inferDiscriminator(without(entries, prefix)),
  })),
];

/** Prefixes of networks that are no part of a CompVis checkpoint. */
const lonePrefixes = ['safety_checker.', 'control_model.', 'adapter.'];

/** The entries with a prefix, keyed by the rest of their names. */
function without(entries: Entries, prefix: string): Entries {
  return prefix === ''
    ? entries
    : new Map(
        [...entries].flatMap(([name, entry]) =>
          name.startsWith(prefix) ? [[name.slice(prefix.length), entry] as const] : [],
        ),
      );
}

/** TAESD's original files have one half each, numbered; it is read under the names of diffusers. */
function inferOriginalTaesd(source: WeightSource): Inferred<NetworkConfig> {
  const [prefix, shift] =
    originalTaesdHalf(source.entries) === 'encoder' ? ['encoder.layers.', 0] : ['decoder.layers.', 1];
  const numbered = withNames(source, (name) => {
    const [number = '', ...rest] = name.split('.');
    return `${prefix}${[String(Number(number) - shift), ...rest].join('.')}`;
  });
  return inferTaesd(numbered.entries);
}

function inferSafety(source: WeightSource): Inferred<NetworkConfig> {
  const map = safetyCheckerMap(source.entries.keys());
  return inferSafetyChecker((map ? renamed(source, map, 'b-to-a') : source).entries);
}

function inferImageEmbedder({ entries }: WeightSource): Inferred<NetworkConfig> {
  const model = inferOpenAiClip(entries, 'model.');
  const config = inferred(
    clipImageEmbedderConfigSchema,
    { kind: 'clip_image_embedder', model: model.config },
    'CLIP image embedder',
  );
  return { config, assumed: model.assumed };
}

/**
 * The one network in `source`, with or without the prefix it has in a whole checkpoint. Throws `model-unknown`, naming what was found,
 * also for a whole checkpoint (`checkpoint.ts` opens those).
 */
export function detectNetwork(source: WeightSource): DetectedNetwork {
  const prefixes = Object.values(partPrefixes).filter((prefix) => hasPrefix(source.entries, prefix));
  if (prefixes.length > 1) {
    throw new StableDiffusionError(
      'model-unknown',
      `${source.label} holds several networks (${prefixes.join(', ')}); open it as a checkpoint, or choose one part.`,
    );
  }
  const lucid = prefixes.length === 0 ? openLucidFile(source) : undefined;
  if (lucid) {
    const { config, assumed } = inferLucidUNet(lucid.unet.entries);
    return { ...canonicalWeights(lucid.unet, config), config, assumed };
  }
  const prefix = prefixes[0] ?? lonePrefixes.find((candidate) => hasPrefix(source.entries, candidate)) ?? '';
  const bare = unnested(withoutPrefix(source, prefix));
  const detector = detectors.find(({ matches }) => matches(bare.entries));
  if (!detector) throw unknownNetwork(source);
  const { config, assumed } = inferredOf(source, () => detector.infer(bare));
  return { ...canonicalWeights(bare, config), prefix, config, assumed };
}

/** What is inferred; an error names the file. */
function inferredOf<T>({ label }: WeightSource, infer: () => T): T {
  try {
    return infer();
  } catch (error) {
    if (!(error instanceof StableDiffusionError) || error.message.startsWith(label)) throw error;
    throw new StableDiffusionError(error.code, `${label}: ${error.message}`, { cause: error, details: error.details });
  }
}

/** IP-Adapter's `.bin` nests two dictionaries; the reader of torch files joins their names by a slash. */
function unnested(source: WeightSource): WeightSource {
  return hasPrefix(source.entries, 'image_proj/')
    ? withNames(source, (name) => name.replace(/^(image_proj|ip_adapter)\//, '$1.'))
    : source;
}

/** The error for names that fit no network, with the groups of names that there are. */
export function unknownNetwork(source: WeightSource): StableDiffusionError {
  const groups = new Map<string, number>();
  for (const name of source.entries.keys()) {
    const group = name.split('.').slice(0, 2).join('.').replace(/\d+/g, 'N');
    groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  const found = Array.from(groups, ([group, count]) => `${group} (${count})`).slice(0, 12);
  return new StableDiffusionError(
    'model-unknown',
    groups.size === 0
      ? `${source.label} holds no tensors.`
      : `${source.label} has no known layout (CompVis, diffusers, transformers, OpenAI CLIP, TAESD). Its names start with ${found.join(', ')}${groups.size > 12 ? ', …' : ''}. Give a configuration, or another file.`,
    { details: { groups: Object.fromEntries(groups) } },
  );
}
