/** `sd eval`: measures of pictures, autoencoders and models. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeaturesNetwork, PictureFeatures } from '../../evaluation/features.ts';
import type { GuidanceCurve, GuidancePoint } from '../../evaluation/guidance-curve.ts';
import type { Reconstructed } from '../../evaluation/reconstruction.ts';
import type { Image } from '../../image/image.ts';
import type { Model } from '../../model/model.ts';
import type { OpenAutoencoder } from '../../model/autoencoder.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { readSeed } from '../generation.ts';
import { flag, integer, list, type OptionValues, required, text, UsageError } from '../options.ts';
import { createProgress, type Progress } from '../progress.ts';

const options = {
  real: text(
    ['--real', '--data', '-r'],
    'DIR',
    'real pictures: a folder, with captions in .txt files or metadata.jsonl for guidance',
  ),
  made: text(['--made', '--generated', '-g'], 'DIR', 'generated pictures'),
  models: list(
    ['--model', '--ckpt', '-m'],
    'FILE',
    'the model to measure; repeat it to compare several models in one plot',
    (given) => given,
  ),
  features: text(['--features'], 'FILE', "feature network: pytorch-fid's Inception v3, or a CLIP"),
  clip: text(['--clip'], 'FILE', 'CLIP for the CLIP score (default: the feature network, if it is a CLIP)'),
  lpips: list(
    ['--lpips'],
    'FILE',
    "LPIPS network: taming's complete file, or both VGG16 and vgg.pth",
    (given) => given,
  ),
  count: integer(
    ['--count', '-n'],
    'number of pictures: the first N; for guidance, N captions spread over the folder (default: all)',
    { min: 1 },
  ),
  size: integer(
    ['--size'],
    'side length to which pictures are resized for the autoencoder (default: that of the first picture)',
    {
      min: 8,
    },
  ),
  scales: text(['--scales'], 'X,…', 'guidance scales (default: 1.5,2,3,4,5,6,7,8)'),
  steps: integer(['--steps'], 'sampling steps (default: 50)', { min: 1, max: 1000 }),
  sampler: text(['--sampler'], 'NAME', 'sampler (default: ddim)'),
  seed: text(['--seed'], 'N', 'seed for pictures and random subsets (default: 42)'),
  output: text(['--output', '-o'], 'DIR', 'folder for plot, JSON and grids (default: outputs/eval)'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  json: flag(['--json'], 'print the measures as JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof options>;

/** Inputs and resources of one evaluation; the resources are closed when it ends. */
interface Task {
  readonly context: CliContext;
  readonly values: Values;
  readonly progress: Progress;
  readonly loadModel: (path?: string) => Promise<Model>;
  readonly openAutoencoder: (path: string) => Promise<OpenAutoencoder>;
  readonly openFeatures: (path: string) => Promise<FeaturesNetwork>;
  readonly openLpips: (
    paths: readonly string[],
  ) => Promise<import('../../evaluation/perceptual-network.ts').PerceptualNetwork>;
}

interface Picture {
  readonly image: Image<3>;
  readonly caption: string;
}

/** The pictures of a folder, sorted by name, each with its first caption; read a few at a time, so that a set can have any size. */
async function* picturesOf(
  folder: string,
  count: number | undefined,
  { context, progress }: Pick<Task, 'context' | 'progress'>,
): AsyncGenerator<readonly Picture[], void, void> {
  const { imageFolder } = await import('../../training/data/folder-node.ts');
  const { createProblems } = await import('../../training/data/problems.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const { flatten } = await import('../../image/image.ts');
  const { decodePicture } = await import('../../training/data/batches.ts');
  const problems = createProblems(({ message }) => context.err.write(`warning: ${message}\n`));
  const source = await imageFolder(folder, { problems });
  const total = Math.min(source.count, count ?? source.count);
  let waiting: Picture[] = [];
  let done = 0;
  for (let i = 0; i < source.count && done < total; i++) {
    const sample = await source.read(i, context.signal);
    if (!sample || !('image' in sample)) continue;
    const image = await decodePicture(sample, nodeImageCodec, problems);
    if (!image) continue;
    waiting.push({ image: flatten(image), caption: sample.captions[0] ?? '' });
    done++;
    if (waiting.length < atOnce && done < total) continue;
    yield waiting;
    waiting = [];
    progress.step(folder, done, total);
  }
  if (waiting.length > 0) yield waiting;
}

/** Pictures in memory at a time. */
const atOnce = 16;

interface MeasuredFolder {
  readonly features: PictureFeatures;
  readonly captions: readonly string[];
}

async function featuresOf(
  folder: string,
  count: number | undefined,
  network: FeaturesNetwork,
  task: Task,
): Promise<MeasuredFolder> {
  const { joinFeatures } = await import('../../evaluation/features.ts');
  const parts: PictureFeatures[] = [];
  const captions: string[] = [];
  for await (const some of picturesOf(folder, count, task)) {
    parts.push(
      await network.pictures(
        some.map(({ image }) => image),
        task.context.signal,
      ),
    );
    captions.push(...some.map(({ caption }) => caption));
  }
  return { features: joinFeatures(parts), captions };
}

async function writeGrid(path: string, images: readonly Image[], columns: number, replace: boolean): Promise<void> {
  const { imageGrid } = await import('../../image/image-grid.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const { writeNewFile } = await import('../../files/write-file-node.ts');
  await writeNewFile(path, [await nodeImageCodec.encode(imageGrid(images, { columns }), { format: 'png' })], {
    replace,
  });
}

const shown = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(4)));

function print({ context, values, progress }: Task, measures: Readonly<Record<string, number>>): void {
  progress.clear();
  if (values.json) context.out.write(`${JSON.stringify(measures)}\n`);
  else for (const [name, value] of Object.entries(measures)) context.out.write(`${name.padEnd(24)}${shown(value)}\n`);
}

/** Two folders of pictures. */
async function pictures(task: Task): Promise<void> {
  const { values } = task;
  const { measureSets } = await import('../../evaluation/picture-sets.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const folders = [required(values.real, '--real', 'eval'), required(values.made, '--made', 'eval')] as const;
  const network = await task.openFeatures(required(values.features, '--features', 'eval'));
  const [real, made] = [
    (await featuresOf(folders[0], values.count, network, task)).features,
    (await featuresOf(folders[1], values.count, network, task)).features,
  ];
  print(task, { ...measureSets(real, made, new TorchGenerator(readSeed(values.seed))) });
}

/** An autoencoder on a folder of pictures. */
async function reconstruction(task: Task): Promise<void> {
  const { context, values } = task;
  const { reconstruct, reconstructionMeasures } = await import('../../evaluation/reconstruction.ts');
  const { preparePicture } = await import('../../training/data/prepare-picture.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const autoencoder = await task.openAutoencoder(
    values.models?.[0] ?? (await import('../../model/load-model-node.ts')).pocketModel,
  );
  const perceptual = values.lpips && (await task.openLpips(values.lpips));
  if (values.output !== undefined) {
    const { checkFree } = await import('../../files/write-file-node.ts');
    await checkFree(join(values.output, 'reconstruction.png'), values.force);
  }
  const measured: Omit<Reconstructed, 'image'>[] = [];
  const shown: Image[][] = [];
  let size = values.size;
  for await (const some of picturesOf(required(values.real, '--real', 'eval'), values.count, task)) {
    size ??= Math.min(some[0]?.image.width ?? 0, some[0]?.image.height ?? 0);
    const side = size;
    const images = some.map(({ image }) => preparePicture(image, { size: side }, new TorchGenerator(0)));
    const results = await reconstruct(autoencoder, images, {
      signal: context.signal,
      ...(perceptual ? { perceptual } : {}),
    });
    measured.push(...results.map(({ image: _, ...measures }) => measures));
    for (let i = 0; i < images.length && shown.length < 8; i += 8)
      shown.push(
        images.slice(i, i + 8),
        results.slice(i, i + 8).map(({ image }) => image),
      );
  }
  if (values.output !== undefined) {
    const { makeFolder } = await import('../../files/make-folder-node.ts');
    await makeFolder(values.output);
    await writeGrid(
      join(values.output, 'reconstruction.png'),
      shown.flat(),
      Math.min(8, shown[0]?.length ?? 1),
      values.force,
    );
  }
  print(task, { ...reconstructionMeasures(measured) });
}

function readScales(given: string | undefined): readonly number[] | undefined {
  const scales = given?.split(',').map(Number);
  if (scales?.some((scale) => !Number.isFinite(scale) || scale < 0))
    throw new UsageError(`--scales must be numbers of at least 0, separated by commas, got ${JSON.stringify(given)}.`);
  return scales;
}

/** The name of a file in a plot; `RUN/model.safetensors`, the output of a training run, is named after its run. */
function nameOf(path: string): string {
  const [folder = '', file = path] = path.split(/[/\\]/).slice(-2);
  const name = file.replace(/\.[^.]+$/, '');
  return name === 'model' && folder !== '' ? folder : name;
}

/** The names of the models in a plot; models with the same name get their folder in front. */
function namesOf(paths: readonly string[]): readonly string[] {
  const names = paths.map(nameOf);
  return names.map((name, i) => {
    const folder = (paths[i] as string).split(/[/\\]/).at(-2);
    return folder && names.indexOf(name) !== names.lastIndexOf(name) ? `${folder}-${name}` : name;
  });
}

/** The model cards' plot: FID against CLIP score. */
async function guidance(task: Task): Promise<void> {
  const { context, values, progress } = task;
  const { guidanceSweep } = await import('../../evaluation/guidance-sweep.ts');
  const { writeGuidanceCurve } = await import('../../evaluation/guidance-curve-node.ts');
  const { makeFolder } = await import('../../files/make-folder-node.ts');
  const { checkFree } = await import('../../files/write-file-node.ts');
  const scales = readScales(values.scales);
  const features = await task.openFeatures(required(values.features, '--features', 'eval'));
  const clip = values.clip === undefined ? features : await task.openFeatures(values.clip);
  const folder = values.output ?? join('outputs', 'eval');
  await makeFolder(folder);
  for (const ending of ['svg', 'png', 'json']) await checkFree(join(folder, `fid-clip.${ending}`), values.force);
  const real = await featuresOf(required(values.real, '--real', 'eval'), undefined, features, task);
  const count = Math.min(values.count ?? real.captions.length, real.captions.length);
  // Spread over the folder, which may be sorted by subject.
  const captions = Array.from(
    { length: count },
    (_, i) => real.captions[Math.floor((i * real.captions.length) / count)] as string,
  );
  const generate = {
    seed: readSeed(values.seed),
    steps: values.steps,
    sampler: values.sampler,
  };
  const curves: GuidanceCurve[] = [];
  const names = values.models && namesOf(values.models);
  for (const [i, path] of (values.models ?? [undefined]).entries()) {
    const model = await task.loadModel(path);
    const name = names?.[i] ?? nameOf(model.checkpoint.label);
    const points: GuidancePoint[] = [];
    for await (const event of guidanceSweep({
      model,
      captions,
      real: real.features,
      features,
      clip,
      generate,
      signal: context.signal,
      ...(scales ? { scales } : {}),
    })) {
      if (event.kind === 'pictures') progress.step(`${name}, guidance ${event.scale}`, event.done, event.total);
      else {
        points.push(event.point);
        progress.clear();
        if (!values.json)
          context.out.write(
            `${name}  guidance ${event.point.scale}  FID ${shown(event.point.fid)}  CLIP score ${shown(event.point.clipScore)}\n`,
          );
        await writeGrid(
          join(folder, `${curves.length + 1}-${name}-${event.point.scale}.png`),
          event.images,
          8,
          values.force,
        );
      }
    }
    curves.push({ name, points });
  }
  const notes = `${captions.length} captions, ${generate.steps ?? 50} steps of ${values.sampler ?? 'ddim'}, features of ${nameOf(required(values.features, '--features', 'eval'))}`;
  const paths = await writeGuidanceCurve(folder, curves, { notes, replace: values.force });
  if (values.json)
    context.out.write(`${await readFile(paths.find((path) => path.endsWith('.json')) as string, 'utf8')}`);
  else for (const path of paths) context.out.write(`${path}\n`);
}

const evaluations: Readonly<Record<string, (task: Task) => Promise<void>>> = { pictures, reconstruction, guidance };

export const evalCommand = defineCommand({
  description:
    'Measures pictures, autoencoders and models. pictures: FID, KID, precision and recall between two folders (and the inception score, with a classifier); reconstruction: PSNR, SSIM and LPIPS of an autoencoder; guidance: FID against CLIP score over guidance scales, as a plot and JSON.',
  words: '<pictures|reconstruction|guidance>',
  options,
  examples: [
    'sd eval pictures --real photos --made outputs/txt2img-samples/samples --features pt_inception-2015-12-05-6726825d.pth',
    'sd eval reconstruction --model sd-v1-4.ckpt --real photos --size 512 --lpips vgg_lpips.pth',
    'sd eval guidance --model sd-v1-4.ckpt --model sd-v1-5.safetensors --real coco --features inception.pth --clip clip-vit-large-patch14.safetensors --count 1000',
  ],
  async run(context, [word = ''], values) {
    const evaluation = Object.hasOwn(evaluations, word) ? evaluations[word] : undefined;
    if (!evaluation)
      throw new UsageError(`Unknown evaluation ${JSON.stringify(word)}. Choose pictures, reconstruction or guidance.`);
    const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
    const { joined } = await import('../../weights/view.ts');
    const progress = createProgress(context.err, context.now, values.quiet || values.json);
    const closing: (() => PromiseLike<void>)[] = [];
    const engine = await startEngine({ ...values, precision: undefined });
    closing.push(() => engine.dispose());
    const open = async (path: string) => {
      const source = await openWeightsAt(path);
      closing.push(() => source.close());
      return source;
    };
    try {
      await evaluation({
        context,
        values,
        progress,
        async loadModel(path) {
          const { loadModel } = await import('../../model/load-model-node.ts');
          const model = await loadModel(path, { engine });
          closing.push(() => model.dispose());
          return model;
        },
        async openAutoencoder(path) {
          const { firstStageOf } = await import('../../evaluation/first-stage-node.ts');
          const stage = await firstStageOf(engine, await open(path), path);
          closing.push(() => stage[Symbol.asyncDispose]());
          return stage;
        },
        async openFeatures(path) {
          const { featuresNetwork } = await import('../../evaluation/features.ts');
          const network = featuresNetwork(engine, await open(path));
          closing.push(() => network[Symbol.asyncDispose]());
          return network;
        },
        async openLpips(paths) {
          const { perceptualNetwork } = await import('../../evaluation/perceptual-network.ts');
          const network = await perceptualNetwork(engine, joined(await Promise.all(paths.map(open))));
          closing.push(() => network[Symbol.asyncDispose]());
          return network;
        },
      });
    } finally {
      progress.clear();
      for (const close of closing.reverse()) await close();
    }
    return 0;
  },
});
