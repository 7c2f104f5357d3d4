/** `sd sample` (latent-diffusion's scripts/sample_diffusion.py; guided-diffusion's image_sample.py, classifier_sample.py, super_res_sample.py). */

import { basename, join } from 'node:path';
import { mustAgree } from '../../distributed/agreement.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { type RankSetting, withRanks } from '../distributed.ts';
import { startEngine } from '../engine-options.ts';
import { type OptionValues, required, UsageError } from '../options.ts';
import { createProgress } from '../progress.ts';
import { sampleOptions } from '../sample-options.ts';
import { sampleSource } from '../sample-source.ts';

/** On this rank, or alone. */
async function sampleOn(
  { communicator, threads }: RankSetting,
  context: CliContext,
  values: OptionValues<typeof sampleOptions>,
): Promise<number> {
  const path = required(values.model, '--model', 'sample');
  const { batch = 8, shard, outdir = join('outputs', 'samples'), npz } = values;
  const { bulkSamples } = await import('../../pipelines/bulk/bulk-samples-node.ts');
  const progress = createProgress(context.err, context.now, values.quiet || values.json || communicator.rank > 0);
  progress.stage('loading');
  await using engine = await startEngine({ ...values, threads }, context);
  let label = 'sampling';
  const source = await sampleSource(path, values, {
    engine,
    onStep: (step, steps) => progress.step(label, step, steps),
  });
  try {
    const count = values.count ?? source.count;
    if (count === undefined) throw new UsageError('--count is required: the number of pictures of the set.');
    const settings = {
      model: basename(path),
      seed: values.seed ?? 0,
      ...(values.classes ? { classes: values.classes } : {}),
      ...source.facts,
    };
    await mustAgree(communicator, {
      'the version of this program': context.version ?? '',
      'the settings of the set': JSON.stringify({ ...settings, count, batch, shard, npz }),
    });
    const result = await bulkSamples({
      folder: outdir,
      maker: source.maker,
      count,
      batch,
      shard,
      ranks: communicator,
      format: npz ? 'npz' : 'png',
      settings,
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
}

export const sample = defineCommand({
  description:
    'Samples a model in bulk: numbered pictures, each of which depends on the seed and its number alone. A stopped run continues where it was; several processes can share a set, with --shard or on MPI.',
  words: '',
  options: sampleOptions,
  examples: [
    'sd sample --model 64x64_diffusion.pt --count 50000 --steps 250 --npz --classifier 64x64_classifier.pt',
    'sd sample --model celeba256/model.ckpt --count 50000 --steps 200 --eta 0 --shard 2/8',
    'sd sample --model 64_256_upsampler.pt --base samples_50000x64x64x3.npz --steps 250 --npz',
    'mpirun -n 8 sd sample --model celeba256/model.ckpt --count 50000 --steps 200',
    'sd sample --model sd-v1-5.safetensors --prompts prompts.txt --sampler plms --scale 5',
  ],
  async run(context, words, values) {
    if (words.length > 0) throw new UsageError(`sd sample takes no words, got ${JSON.stringify(words[0])}.`);
    return withRanks(context, values, (setting, own) => sampleOn(setting, own, values));
  },
});
