/** `sd preprocess`: the map of a picture for a control network or an adapter. */

import { join } from 'node:path';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import {
  annotators,
  createAnnotator,
  type OpenAnnotator,
  type Preprocessor,
  preprocess as preprocessPicture,
  preprocessorNamed,
  preprocessors,
  readAnnotator,
} from '../../preprocessors/index.ts';
import { changePictures, resultOptions, resultPaths } from '../change-pictures.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { flag, integer, number, text, UsageError } from '../options.ts';

const options = {
  model: text(['--model', '-m'], 'FILE', "the network's published file, for preprocessors that need one"),
  resolution: integer(['--resolution'], 'pixels of the shorter side of the map (default: 512)', { min: 64, max: 4096 }),
  thresholdA: number(['--threshold-a'], "the preprocessor's first number, such as canny's low threshold"),
  thresholdB: number(['--threshold-b'], "the preprocessor's second number"),
  seed: integer(['--seed'], 'seed of shuffle (default: 0)', { min: 0, max: 2 ** 32 - 1 }),
  list: flag(['--list'], 'list the preprocessors with their numbers and files'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...resultOptions('outputs/maps'),
};

/** One line for each preprocessor: name, numbers, file. */
function listing(): string {
  return preprocessors
    .map(({ name, network, a, b }) => {
      const numbers = [a, b].flatMap((one) => (one ? [`${one.title} ${one.min} to ${one.max} (${one.default})`] : []));
      const file = annotators.find(({ kind }) => kind === network)?.file;
      return [name, ...numbers, ...(file ? [`--model ${file}`] : [])].join(' · ');
    })
    .join('\n');
}

/** Refuses numbers that the preprocessor does not have. */
function checkNumbers(
  { name, ...settings }: Preprocessor,
  given: Readonly<Record<'a' | 'b', number | undefined>>,
): void {
  for (const key of ['a', 'b'] as const)
    if (given[key] !== undefined && settings[key] === undefined)
      throw new UsageError(
        `--threshold-${key}: the preprocessor ${name} has no such number. See sd preprocess --list.`,
      );
}

export const preprocess = defineCommand({
  description: 'Draws the map of a picture that a control network or an adapter takes: edges, lines, depth, a pose.',
  words: '[name] [picture...]',
  options,
  examples: [
    'sd preprocess --list',
    'sd preprocess canny photo.png --threshold-a 80 --threshold-b 160 -o edges.png',
    'sd preprocess openpose people.jpg --model body_pose_model.pth',
  ],
  async run(context, [name, ...pictures], values) {
    const { model, resolution, thresholdA: a, thresholdB: b, seed, output, outdir = join('outputs', 'maps') } = values;
    if (values.list) {
      context.out.write(`${listing()}\n`);
      return 0;
    }
    if (name === undefined || pictures.length === 0)
      throw new UsageError('give a preprocessor and a picture, or --list.');
    const chosen = preprocessorNamed(name);
    const where = { output, outdir, suffix: `-${chosen.name}` };
    resultPaths(pictures, where);
    checkNumbers(chosen, { a, b });
    if (chosen.network === undefined && model !== undefined)
      throw new UsageError(`--model: the preprocessor ${name} needs no file.`);
    if (chosen.network !== undefined && model === undefined) {
      const file = annotators.find(({ kind }) => kind === chosen.network)?.file;
      throw new UsageError(`--model is required: the preprocessor ${name} needs ${file}.`);
    }
    const { signal } = context;
    const weights = model === undefined ? undefined : readAnnotator(await openWeightsAt(model));
    await using engine = weights && (await startEngine(values, context));
    await using annotator: OpenAnnotator | undefined = weights && engine && createAnnotator(engine, weights);
    await changePictures(context, pictures, { ...where, json: values.json }, async (picture) => {
      const image = await preprocessPicture(chosen, picture, { resolution, a, b, seed, signal }, annotator);
      const { width, height } = image;
      return { image, facts: { width, height, preprocessor: chosen.name } };
    });
    return 0;
  },
});
