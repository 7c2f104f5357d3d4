/** Tags of a drawn picture by DeepDanbooru, as A1111's "Interrogate DeepBooru" writes them (modules/deepbooru.py of v1.10.1). */

import type { Engine } from '../engine/engine.ts';
import { fitImage } from '../image/fit-image.ts';
import { type Image, toRgb } from '../image/image.ts';
import type { TaggerNetwork } from '../models/describers/index.ts';
import { createAnnotator } from '../preprocessors/annotate.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

export interface Tag {
  /** As the network's file names it: `long_hair`, `rating:safe`. */
  readonly name: string;
  /** 0 to 1. */
  readonly score: number;
}

export interface Tagger extends AsyncDisposable {
  /** Pixels of the square that it looks at. */
  readonly side: number;
  /** Every tag, in the file's order. */
  tags(image: Image, signal?: AbortSignal): Promise<readonly Tag[]>;
}

/** The network on the engine. Its weights are closed when it is disposed of. */
export function createTagger(engine: Engine, network: TaggerNetwork): Tagger {
  const { side } = network;
  const annotator = createAnnotator(engine, { ...network, kind: network.title });
  return {
    side,
    async tags(image, signal) {
      const { data } = fitImage(toRgb(image), side, side, 'fill');
      const plane = side * side;
      const x = new Float32Array(3 * plane);
      for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) x[c * plane + i] = (data[3 * i + c] as number) / 255;
      const { scores } = await annotator.run(float32([1, 3, side, side], x), signal);
      return network.tags.map((name, i) => ({ name, score: (scores as Tensor<'float32'>).data[i] as number }));
    },
    [Symbol.asyncDispose]: () => annotator[Symbol.asyncDispose](),
  };
}

export interface TagTextOptions {
  /** Least score. Default 0.5. */
  readonly threshold?: number | undefined;
  /** By name, not by score. Default true. */
  readonly sorted?: boolean | undefined;
  /** Spaces in place of underscores. Default true. */
  readonly spaces?: boolean | undefined;
  /** A backslash before backslashes and brackets, which weight words in prompts. Default true. */
  readonly escaped?: boolean | undefined;
  /** Tags to leave out, with commas between. Default none. */
  readonly without?: string | undefined;
  /** `(tag:0.987)`. Default false. */
  readonly scores?: boolean | undefined;
}

/** The tags of a picture as a prompt. Ratings are left out. */
export function tagText(
  all: readonly Tag[],
  { threshold = 0.5, sorted = true, spaces = true, escaped = true, without = '', scores = false }: TagTextOptions = {},
): string {
  const dropped = new Set(without.split(',').map((name) => name.trim().replaceAll(' ', '_')));
  return all
    .filter(({ name, score }) => score >= threshold && !name.startsWith('rating:') && !dropped.has(name))
    .sort(sorted ? (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) : (a, b) => b.score - a.score)
    .map(({ name, score }) => {
      const spaced = spaces ? name.replaceAll('_', ' ') : name;
      const text = escaped ? spaced.replace(/([\\()])/g, '\\$1') : spaced;
      return scores ? `(${text}:${score.toFixed(3)})` : text;
    })
    .join(', ');
}
