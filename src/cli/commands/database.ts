/** `sd database`: embeddings of pictures for retrieval-augmented models. */

import { mustAgree } from '../../distributed/agreement.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { distributedOptions, type RankSetting, withRanks } from '../distributed.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { flag, integer, type OptionValues, required, text } from '../options.ts';
import { createProgress } from '../progress.ts';

const options = {
  clip: text(['--clip'], 'FILE', 'CLIP that embeds the pictures: the one that the model was trained with (required)'),
  outdir: text(['--outdir', '-o'], 'FOLDER', 'folder of the database (required)'),
  rows: integer(['--rows'], 'pictures of one file (default: 4096)', { min: 1, max: 1_000_000 }),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...distributedOptions,
  quiet: flag(['--quiet', '-q'], 'no progress'),
  json: flag(['--json'], 'print the result as one JSON object'),
};

/** On this rank, or alone. */
async function databaseOn(
  { communicator, threads }: RankSetting,
  context: CliContext,
  data: string,
  values: OptionValues<typeof options>,
): Promise<number> {
  const clip = required(values.clip, '--clip', 'database');
  const folder = required(values.outdir, '--outdir', 'database');
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { featuresNetwork } = await import('../../evaluation/features.ts');
  const { buildDatabase } = await import('../../evaluation/build-database-node.ts');
  const { openData } = await import('../../training/data/open-data-node.ts');
  const { createProblems } = await import('../../training/data/problems.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const progress = createProgress(context.err, context.now, values.quiet || values.json || communicator.rank > 0);
  const problems = createProblems(({ message }) => context.err.write(`warning: ${message}\n`));
  await mustAgree(communicator, {
    'the version of this program': context.version ?? '',
    'the options': JSON.stringify({ data, clip, folder, rows: values.rows }),
  });
  const source = await openData(data, { problems });
  const weights = await openWeightsAt(clip);
  try {
    await using engine = await startEngine({ ...values, threads }, context);
    await using network = featuresNetwork(engine, weights);
    const rows = await buildDatabase({
      source,
      network,
      folder,
      codec: nodeImageCodec,
      problems,
      rows: values.rows,
      ranks: communicator,
      onRows: (count) => progress.stage(`${count} rows`),
      signal: context.signal,
    });
    progress.clear();
    context.out.write(values.json ? `${JSON.stringify({ path: folder, rows })}\n` : `${folder} ${rows} rows\n`);
    return 0;
  } finally {
    progress.clear();
    await weights.close();
    await source.close();
  }
}

export const database = defineCommand({
  description:
    'Makes a database of embeddings for knn2img from pictures: a folder, WebDataset or Parquet. A stopped run continues where it was.',
  words: '<data>',
  options,
  examples: [
    'sd database photos --clip ViT-L-14.pt --outdir databases/photos',
    "sd database 'laion/{00000..00099}.tar' --clip ViT-L-14.pt --outdir databases/laion",
    'mpirun -n 4 sd database photos --clip ViT-L-14.pt --outdir databases/photos',
  ],
  run: (context, [data = ''], values) =>
    withRanks(context, values, (setting, own) => databaseOn(setting, own, data, values)),
});
