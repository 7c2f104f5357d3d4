/** Recognises control networks, image encoders and preprocessors' networks by the names and shapes in their files. */

import { type ControlConfig, controlKindName, readControlConfig } from '../../checkpoints/control-file.ts';
import { detectNetwork } from '../../checkpoints/detect.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { detectAnnotator } from '../../models/annotators/index.ts';
import { detectFaceNetwork } from '../../models/faces/index.ts';
import { takesHiddenStates } from '../../models/ip-adapter.ts';
import { detectDescriber } from '../../models/describers/index.ts';
import { isWordRanker } from '../../evaluation/features.ts';
import { faceKind } from './face-networks.ts';
import { describerKind, wordRankerKind } from './describers.ts';

export interface ControlFileFacts {
  readonly kind: ControlConfig['kind'];
  /** What people call it. */
  readonly title: string;
  /** The output of an image encoder that it takes, and its width. Undefined for one that takes a map. */
  readonly encoderWidth?: { readonly of: 'projection' | 'hidden'; readonly width: number } | undefined;
  /** Takes the embedding of a face, which no encoder of pictures makes. */
  readonly takesFace: boolean;
}

/** A preprocessor's network, one for faces or for words, or an image encoder. */
export interface HelperFacts {
  readonly kind: string;
  /** Of an image encoder: the widths of its outputs, and pixels of the square that it takes. */
  readonly encoder?: { readonly projection: number; readonly hidden: number; readonly side: number } | undefined;
}

function encoderWidth(config: ControlConfig): ControlFileFacts['encoderWidth'] {
  if (config.kind === 't2i_style') return { of: 'hidden', width: config.width };
  if (config.kind !== 'ip_adapter' || config.projection === 'face') return undefined;
  return { of: takesHiddenStates(config) ? 'hidden' : 'projection', width: config.clip_embeddings_dim };
}

/** Throws what reading the file throws, and `model-unknown` for one that holds no control network. */
export async function controlFacts(path: string): Promise<ControlFileFacts> {
  const source = await openWeightsAt(path);
  try {
    const config = readControlConfig(source);
    return {
      kind: config.kind,
      title: controlKindName(config),
      encoderWidth: encoderWidth(config),
      takesFace: config.kind === 'ip_adapter' && config.projection === 'face',
    };
  } finally {
    await source.close();
  }
}

/** Undefined for a file that holds none of them. */
export async function helperFacts(path: string): Promise<HelperFacts | undefined> {
  const source = await openWeightsAt(path).catch(() => undefined);
  if (!source) return undefined;
  try {
    const annotator = detectAnnotator(source);
    if (annotator) return { kind: annotator.kind };
    const face = detectFaceNetwork(source);
    if (face) return { kind: faceKind(face) };
    const describer = detectDescriber(source);
    if (describer) return { kind: describerKind(describer) };
    if (isWordRanker(source)) return { kind: wordRankerKind };
    const { config } = detectNetwork(source);
    if (config.kind !== 'clip_vision') return undefined;
    const { projection_dim, with_projection, hidden_size, image_size } = config;
    return {
      kind: 'clip_vision',
      encoder: { projection: with_projection ? projection_dim : 0, hidden: hidden_size, side: image_size },
    };
  } catch {
    return undefined;
  } finally {
    await source.close();
  }
}
