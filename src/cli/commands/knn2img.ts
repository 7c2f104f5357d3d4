/** `sd knn2img` (latent-diffusion's scripts/knn2img.py): retrieval-augmented models. */

import type { Neighbours } from '../../conditioning/retrieval.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { defineCommand } from '../command.ts';
import { memoryOf, precisionOf, startEngine } from '../engine-options.ts';
import { runGeneration } from '../generation.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { integer, required, text, UsageError } from '../options.ts';

const options = {
  clip: text(['--clip'], 'FILE', "OpenAI's CLIP, which the model was trained with (ViT-L-14.pt; required)"),
  database: text(
    ['--database'],
    'PATH',
    'database of neighbours: an .npz file with embedding, or a folder of them (default: the prompt alone)',
  ),
  neighbours: integer(['--knn'], 'neighbours behind the prompt (default: 10)', { min: 1, max: 1000 }),
  repeats: integer(['--n_repeat'], "copies of the prompt's vector (default: 1)", { min: 1, max: 77 }),
  queryImage: text(
    ['--query-image'],
    'FILE',
    'a picture in place of the prompt: its vector is the condition, and its neighbours are sought',
  ),
  ...generationOptions,
  ...outputOptions,
  ...modelOptions,
};

/** CLIP's vector of a picture, [1, width]. */
async function pictureQuery(path: string, clip: string, engine: Engine): Promise<Tensor<'float32'>> {
  const { openImage } = await import('../../pipelines/image-files-node.ts');
  const { toRgb } = await import('../../image/image.ts');
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { featuresNetwork } = await import('../../evaluation/features.ts');
  const image = toRgb(await openImage(path));
  const weights = await openWeightsAt(clip);
  try {
    const network = featuresNetwork(engine, weights);
    const { features } = await network.pictures([image]);
    await network[Symbol.asyncDispose]();
    return features;
  } finally {
    await weights.close();
  }
}

/** The original's default. */
const defaultScale = 5;

export const knn2img = defineCommand({
  description:
    'Makes pictures of a prompt or a picture with a retrieval-augmented model, whose condition has the neighbours of it in a database.',
  words: '[prompt...]',
  options,
  examples: [
    'sd knn2img "a happy bear" --ckpt rdm768x768/model.ckpt --config 768x768.yaml --clip ViT-L-14.pt',
    'sd knn2img "a happy bear" --ckpt model.ckpt --clip ViT-L-14.pt --database artbench-surrealism --knn 10',
    'sd knn2img --query-image bear.png --ckpt model.ckpt --clip ViT-L-14.pt --database artbench-surrealism',
  ],
  run(context, words, values) {
    const model = required(values.model, '--ckpt', 'knn2img');
    const clip = required(values.clip, '--clip', 'knn2img');
    const { database, neighbours, config, ema, queryImage } = values;
    if (queryImage !== undefined && words.length > 0)
      throw new UsageError('--query-image stands in place of the prompt. Give one of them.');
    const onFound = ({ imageIds }: Neighbours): void => {
      if (values.quiet || values.json) return;
      for (const ids of imageIds) context.err.write(`neighbours: ${ids.map((id) => id ?? '?').join(', ')}\n`);
    };
    return runGeneration(context, {
      task: 'txt2img',
      options,
      values: { ...values, scale: values.scale ?? defaultScale },
      // The picture's vector takes the place of what this says.
      words: queryImage === undefined ? words : [''],
      outdir: 'outputs/txt2img-samples',
      async load() {
        const { loadRetrievalModel } = await import('../../model/load-retrieval-node.ts');
        const engine = await startEngine(values, context);
        try {
          return await loadRetrievalModel(model, {
            engine,
            ownsEngine: true,
            clip,
            database,
            neighbours,
            repeat: values.repeats,
            query: queryImage === undefined ? undefined : await pictureQuery(queryImage, clip, engine),
            onFound,
            config,
            ema: ema ? true : undefined,
            precision: precisionOf(values, engine),
            ...memoryOf(values),
          });
        } catch (error) {
          await engine.dispose();
          throw error;
        }
      },
    });
  },
});
