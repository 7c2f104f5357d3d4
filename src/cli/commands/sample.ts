/** `sd sample` (latent-diffusion's scripts/sample_diffusion.py; guided-diffusion's image_sample.py, classifier_sample.py, super_res_sample.py). */

import { join } from 'node:path';
import { defineCommand } from '../command.ts';
import { startEngine } from '../engine-options.ts';
import { required, UsageError } from '../options.ts';
import { createProgress } from '../progress.ts';
import { sampleOptions } from '../sample-options.ts';
import { sampleSource } from '../sample-source.ts';

export const sample = defineCommand({
  description:
    'Samples a model in bulk: numbered pictures, each of which depends on the seed and its number alone. A stopped run continues where it was; several processes can share a set.',
  words: '',
  options: sampleOptions,
  examples: [
    'sd sample --model 64x64_diffusion.pt --count 50000 --steps 250 --npz --classifier 64x64_classifier.pt',
    'sd sample --model celeba256/model.ckpt --count 50000 --steps 200 --eta 0 --shard 2/8',
    'sd sample --model 64_256_upsampler.pt --base samples_50000x64x64x3.npz --steps 250 --npz',
    'sd sample --model sd-v1-5.safetensors --prompts prompts.txt --sampler plms --scale 5',
  ],
  async run(context, words, values) {
    if (words.length > 0) throw new UsageError(`sd sample takes no words, got ${JSON.stringify(words[0])}.`);
    const path = required(values.model, '--model', 'sample');
    const { batch = 8, shard, outdir = join('outputs', 'samples'), npz } = values;
    const { bulkSamples } = await import('../../pipelines/bulk/bulk-samples-node.ts');
    const progress = createProgress(context.err, context.now, values.quiet || values.json);
    progress.stage('loading');
    await using engine = await startEngine(values, context);
    let label = 'sampling';
    const source = await sampleSource(path, values, {
      engine,
      onStep: (step, steps) => progress.step(label, step, steps),
    });
    try {
      const count = values.count ?? source.count;
      if (count === undefined) throw new UsageError('--count is required: the number of pictures of the set.');
      const { basename } = await import('node:path');
      const result = await bulkSamples({
        folder: outdir,
        maker: source.maker,
        count,
        batch,
        shard,
        format: npz ? 'npz' : 'png',
        settings: {
          model: basename(path),
          seed: values.seed ?? 0,
          ...(values.classes ? { classes: values.classes } : {}),
          ...source.facts,
        },
        onPictures(done, total) {
          label = `picture ${done}/${total}`;
          progress.step('pictures', done, total);
        },
        signal: context.signal,
      });
      progress.clear();
      const where = result.archive ?? join(outdir, npz ? 'blocks' : 'img');
      context.out.write(values.json ? `${JSON.stringify({ path: where, made: result.made, count })}\n` : `${where}\n`);
      return 0;
    } finally {
      progress.clear();
      await source.close();
    }
  },
});
