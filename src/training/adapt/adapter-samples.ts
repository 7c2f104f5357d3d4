/** Pictures of a model with the adapter in its current state. */

import type { ControlMap } from '../../generation/control-inputs.ts';
import { imagesToTensor, inShares } from '../../image/image-tensor.ts';
import type { Image } from '../../image/image.ts';
import type { ControlModel } from '../../model/control-model.ts';
import type { Tokenizer } from '../../conditioning/conditioner.ts';
import { conditionerPart } from '../../config/conditioner-parts.ts';
import { Model, type ModelOptions } from '../../model/model.ts';
import { textToImage } from '../../pipelines/text-to-image.ts';
import type { TraineeSamples } from '../trainee.ts';

export interface AdapterSampleOptions {
  readonly prompts: readonly string[];
  /** Default 25. */
  readonly steps?: number;
  /** Default 7.5. */
  readonly guidanceScale?: number;
  /** Seed of the start noise, the same for every prompt. Default 1. */
  readonly seed?: number;
  /** Pixels. Default: the model's native size. */
  readonly width?: number;
  readonly height?: number;
}

/** Controls of the pictures, of one batch. */
export interface SampleControls {
  /** In place of the prompts of the options, if these are none. */
  readonly captions: readonly string[];
  /** One for each picture, shown before it. */
  readonly maps: readonly Image<3>[];
  /** The control network in its current state, for the model of the samples. */
  readonly open: (model: Model) => Promise<ControlModel>;
}

const controlMapOf = (map: Image<3>): ControlMap => {
  const colours = inShares(imagesToTensor([map]));
  return { hint: colours, colours };
};

/**
 * One picture for each prompt, or with controls each map and the picture under it. The networks are compiled for it and freed again; the
 * checkpoint stays open.
 */
export async function adapterSamples(
  {
    tokenizers,
    ...options
  }: Pick<ModelOptions, 'engine' | 'checkpoint'> & {
    readonly tokenizers: readonly Tokenizer[];
  },
  { prompts: given, steps = 25, seed = 1, ...settings }: AdapterSampleOptions,
  controls?: SampleControls,
): Promise<TraineeSamples> {
  await using model = new Model({
    ...options,
    tokenizers: new Map(tokenizers.map((tokenizer, i) => [conditionerPart(i), tokenizer])),
    ownsCheckpoint: false,
  });
  await using control = controls && (await controls.open(model));
  const maps = controls?.maps ?? [];
  const images: Image[] = [];
  const texts = given.length > 0 ? given : (controls?.captions ?? []);
  // Each prompt once, and each map once.
  const count = controls ? maps.length : texts.length;
  const prompts = Array.from({ length: count }, (_, i) => texts[i % Math.max(1, texts.length)] ?? '');
  for (const [i, prompt] of prompts.entries()) {
    const map = maps[i];
    const under = control && map ? { control: [{ model: control, map: controlMapOf(map) }] } : {};
    if (map) images.push(map);
    for await (const event of textToImage(model, {
      ...settings,
      ...(map ? { width: map.width, height: map.height } : {}),
      ...under,
      prompt,
      steps,
      seed,
      safety: false,
      watermark: false,
    })) {
      if (event.kind === 'result') images.push(...event.images.map(({ image }) => image));
    }
  }
  return controls
    ? { images, captions: prompts.flatMap((prompt) => ['', prompt]), columns: 2 }
    : { images, captions: prompts };
}
