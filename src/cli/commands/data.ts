/** `sd data`: counts of a data set, and what of it passes filters. */

import { join } from 'node:path';
import { mustAgree } from '../../distributed/agreement.ts';
import type { JudgedSamplesOptions } from '../../evaluation/data-set/judged-samples.ts';
import type { DataSetStatistics } from '../../evaluation/data-set/statistics.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { dataOptions, type DataValues, filterOf, openScorers } from '../data-options.ts';
import { type RankSetting, withRanks } from '../distributed.ts';
import { startEngine } from '../engine-options.ts';
import { required, UsageError } from '../options.ts';
import { createProgress, type Progress } from '../progress.ts';

interface Task {
  readonly context: CliContext;
  readonly values: DataValues;
  readonly data: string;
  readonly progress: Progress;
  readonly judging: JudgedSamplesOptions;
}

/** `kept` and the reasons, one a line. */
function countLines({ read = 0, kept = 0, ...others }: Readonly<Record<string, number>>): string {
  const rows = [['samples', read], ['kept', kept], ...Object.entries(others)] as const;
  return rows.map(([name, count]) => `${name.padEnd(12)} ${count}\n`).join('');
}

function statisticsText({ counts, formats, languages, distributions }: DataSetStatistics): string {
  const short = (value: number | undefined): string => String(Number((value ?? 0).toPrecision(4)));
  const lists = (name: string, list: Readonly<Record<string, number>>): string => {
    const items = Object.entries(list).slice(0, 8);
    return items.length === 0 ? '' : `${name.padEnd(12)} ${items.map(([word, n]) => `${word} ${n}`).join(', ')}\n`;
  };
  const rows = Object.entries(distributions).map(
    ([name, { minimum, median, mean, maximum }]) =>
      `${name.padEnd(12)} ${short(minimum)} to ${short(maximum)}, mean ${short(mean)}, median ${short(median)}\n`,
  );
  return countLines(counts) + lists('formats', formats) + lists('languages', languages) + rows.join('');
}

async function stats({ context, values, judging, progress }: Task): Promise<void> {
  const { judgedSamples } = await import('../../evaluation/data-set/judged-samples.ts');
  const { start } = await import('../../evaluation/data-set/blocks.ts');
  const { RunningDataSetStatistics } = await import('../../evaluation/data-set/statistics.ts');
  const { checkFree, writeNewText } = await import('../../files/write-file-node.ts');
  const { makeFolder } = await import('../../files/make-folder-node.ts');
  const folder = values.output;
  const isFirst = (judging.ranks?.rank ?? 0) === 0;
  if (folder !== undefined && isFirst) await checkFree(join(folder, 'stats.json'), values.force);
  const running = new RunningDataSetStatistics();
  let read = 0;
  for await (const { sample, verdict } of judgedSamples(judging, start)) {
    running.add(verdict, sample?.metadata ?? {});
    if (++read % 100 === 0) progress.stage(`${read} samples`);
  }
  progress.clear();
  const result = running.result();
  if (folder !== undefined && isFirst) {
    await makeFolder(folder);
    const files = [...running.charts()].map(([name, svg]) => [`${name}.svg`, svg] as const);
    for (const [name, content] of [...files, ['stats.json', `${JSON.stringify(result, null, 1)}\n`] as const])
      await writeNewText(join(folder, name), content, { replace: values.force, signal: context.signal });
  }
  context.out.write(values.json ? `${JSON.stringify(result)}\n` : statisticsText(result));
}

async function filter({ context, values, data, judging, progress }: Task): Promise<void> {
  const { filterDataSet } = await import('../../evaluation/data-set/filter-data-set-node.ts');
  const { dataFacts } = await import('../../training/data/data-facts-node.ts');
  const { createHash } = await import('node:crypto');
  const folder = required(values.output, '--output', 'data filter');
  const facts = await dataFacts(judging.source);
  const { clip, aesthetic, imageKey, captionKey, shardSize = 10_000 } = values;
  const settings = {
    data,
    digest: createHash('sha256').update(facts).digest('hex'),
    filter: judging.filter,
    shard_size: shardSize,
    ...(clip === undefined ? {} : { clip }),
    ...(aesthetic === undefined ? {} : { aesthetic }),
    ...(imageKey === undefined ? {} : { image_key: imageKey }),
    ...(captionKey === undefined ? {} : { caption_key: captionKey }),
  };
  const manifest = await filterDataSet({
    ...judging,
    folder,
    shardSize,
    maximumHashes: values.maxHashes,
    settings,
    onShard: ({ kept, read }) => progress.stage(`${kept} of ${read} samples kept`),
  });
  progress.clear();
  if (!manifest) return;
  const { counts, shards } = manifest;
  context.out.write(
    values.json
      ? `${JSON.stringify({ path: folder, shards, counts })}\n`
      : `${countLines(counts)}${folder}: ${shards} ${shards === 1 ? 'shard' : 'shards'}\n`,
  );
}

const tasks: Readonly<Record<string, (task: Task) => Promise<void>>> = { stats, filter };

/** On this rank, or alone. */
async function dataOn(
  [word = '', data = '']: readonly string[],
  { communicator, threads }: RankSetting,
  context: CliContext,
  values: DataValues,
): Promise<number> {
  const task = Object.hasOwn(tasks, word) ? tasks[word] : undefined;
  if (!task) throw new UsageError(`Unknown word ${JSON.stringify(word)}. Choose stats or filter.`);
  if (word === 'filter') required(values.output, '--output', 'data filter');
  else if (values.duplicates !== undefined || values.shardSize !== undefined)
    throw new UsageError('--phash-distance and --shard-size are for sd data filter.');
  const wanted = filterOf(values);
  const { openData } = await import('../../training/data/open-data-node.ts');
  const { createProblems } = await import('../../training/data/problems.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const progress = createProgress(context.err, context.now, values.quiet || values.json || communicator.rank > 0);
  const problems = createProblems(({ message }) => {
    progress.clear();
    context.err.write(`warning: ${message}\n`);
  });
  await mustAgree(communicator, {
    'the version of this program': context.version ?? '',
    'the options': JSON.stringify({ ...values, threads: undefined, word, data }),
  });
  await using scorers = await openScorers(values, () => startEngine({ ...values, threads }, context));
  const source = await openData(data, {
    problems,
    ...(values.imageKey === undefined ? {} : { imageField: values.imageKey }),
    ...(values.captionKey === undefined ? {} : { captionField: values.captionKey }),
  });
  try {
    const { clip, aesthetic } = scorers;
    const judging = { source, codec: nodeImageCodec, problems, filter: wanted, clip, aesthetic };
    const { signal } = context;
    await task({ context, values, data, progress, judging: { ...judging, ranks: communicator, signal } });
    return 0;
  } finally {
    progress.clear();
    await source.close();
  }
}

export const data = defineCommand({
  description:
    "Data sets of pictures with captions: a folder, WebDataset or Parquet, img2dataset's output too. stats prints counts and draws distributions of sizes, captions and scores; filter writes what passes the filters as WebDataset shards, with the scores in the metadata. A stopped run of filter continues where it was.",
  words: '<stats|filter> <data>',
  wordChoices: Object.keys(tasks),
  options: dataOptions,
  examples: [
    'sd data stats photos --output photos-stats',
    "sd data filter 'laion/{00000..00099}.tar' --output laion-512 --min-size 512 --max-aspect 2 --min-caption 5 --language en --phash-distance 4",
    'sd data filter laion-512 --output laion-5plus --clip ViT-L-14.pt --min-clip-score 0.2 --aesthetic sac+logos+ava1-l14-linearMSE.pth --min-aesthetic 5',
    "mpirun -n 4 sd data filter 'laion/{00000..00099}.tar' --output laion-5plus --clip ViT-L-14.pt --aesthetic sa_0_4_vit_l_14_linear.pth --min-aesthetic 5",
  ],
  run: (context, words, values) => withRanks(context, values, (setting, own) => dataOn(words, setting, own, values)),
});
