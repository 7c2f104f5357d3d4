/** `sd replay`: a picture again, from the settings in its file, and whether it is the same. */

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import type { Image } from '../../image/image.ts';
import { type ControlInputs, joinControls } from '../../generation/control-inputs.ts';
import type { GivenTensors, TaskOptions } from '../../generation/inputs.ts';
import type { GenerationRecord } from '../../generation/record.ts';
import type { GeneratedImage, Pipeline } from '../../pipelines/events.ts';
import type { Model } from '../../model/model.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { checkAdapters } from '../adapter-options.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { checkControls, closeControls, controlOptions, openControls } from '../control-options.ts';
import { imageTensorFlags, readImageTensors } from '../image-tensors.ts';
import { loadNamedModel } from '../generation.ts';
import { classifierOption, modelOptions, refinerOption } from '../generation-options.ts';
import { cascadeOptions } from '../stage-flags.ts';
import { excluding } from '../needed-options.ts';
import { flag, type OptionValues, text, UsageError } from '../options.ts';
import { pictureFiles } from '../output-files.ts';
import { comparePicture, reportDifference } from '../compare-picture.ts';
import { createProgress } from '../progress.ts';
import { openRunModels, type RunModels } from '../run-models.ts';
import { checkWork } from '../replay-work.ts';
import { createStopwatch } from '../stopwatch.ts';

const options = {
  ...modelOptions,
  ...refinerOption,
  ...classifierOption,
  enlarge: cascadeOptions.enlarge,
  ...imageTensorFlags,
  ...controlOptions,
  init: text(['--init-img', '-i', '--image'], 'FILE', 'initial image, for img2img and inpaint'),
  mask: text(['--mask', '-m'], 'FILE', 'the mask, for inpaint'),
  initLatents: text(['--init-latents'], 'FILE', 'start noise, if the picture was made with one'),
  models: text(['--models'], 'DIR', "folder of checkpoints, for a picture of ComfyUI's"),
  comfyui: text(['--comfyui'], 'DIR', "ComfyUI's folder, for a picture of ComfyUI's"),
  noSafety: flag(['--no-safety'], 'turn the safety checker off'),
  large: flag(['--large'], 'allow a picture that takes very long to make'),
  output: text(['--output', '-o'], 'FILE', 'write the picture here instead of --outdir'),
  outdir: excluding(
    text(['--outdir'], 'FOLDER', 'write samples/00000.png, … here (default: outputs/replay-samples)'),
    '--output',
  ),
  skipSave: flag(['--skip_save'], 'compare only'),
  force: flag(['--force'], 'replace the file of --output (default: it is an error where it exists)'),
  json: flag(['--json'], 'print the outcome as a line of JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof options>;

/** The record in a picture's file. Throws `invalid-argument` where it has none. */
async function readRecord(path: string, bytes: Uint8Array): Promise<GenerationRecord> {
  const { readImageMetadata } = await import('../../image/metadata/image-metadata.ts');
  const { recordSchema } = await import('../../generation/record.ts');
  const { record, parameters } = readImageMetadata(bytes);
  const parsed = recordSchema.safeParse(record);
  if (parsed.success) return parsed.data;
  const found =
    record !== undefined
      ? 'a record that this version cannot read'
      : parameters !== undefined
        ? 'settings of another program'
        : 'no settings';
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} has ${found} in it; a picture that this program made was expected.`,
  );
}

/** Where a model of a record is: as given, else the path it was loaded from, else the one that comes with the program. */
async function modelPath(recorded: string, given: string | undefined, option = '--model'): Promise<string> {
  if (given !== undefined) return given;
  if (existsSync(recorded)) return recorded;
  const { pocketModel } = await import('../../model/load-model-node.ts');
  if (basename(recorded) === basename(pocketModel)) return pocketModel;
  throw new StableDiffusionError(
    'file-not-found',
    `The picture was made with ${recorded}, which is not there. Name the model with ${option}.`,
  );
}

/** Where the stages of a cascade are: as given, in their order, else as recorded. */
async function stagePaths({ enlarge = [] }: GenerationRecord, values: Values): Promise<readonly string[]> {
  const given = values.enlarge ?? [];
  return Promise.all(enlarge.map(({ model }, i) => modelPath(model, given[i], '--enlarge')));
}

/** A picture the record names by its digest. */
async function recordedImage(path: string | undefined, wanted: string, what: string, option: string): Promise<Image> {
  if (path === undefined) throw new UsageError(`The picture was made from ${what}. Give it with ${option} FILE.`);
  const { openImage } = await import('../../pipelines/image-files-node.ts');
  const { digest } = await import('../../pipelines/digest.ts');
  const image = await openImage(path);
  if ((await digest(image)) !== wanted)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} is not ${what} that the picture was made from: its pixels have another SHA-256.`,
    );
  return image;
}

async function recordedNoise(path: string | undefined, wanted: string): Promise<Tensor<'float32'>> {
  if (path === undefined)
    throw new UsageError('The picture was made from a given start noise. Give it with --init-latents FILE.');
  const { readStartNoise } = await import('../latents-file.ts');
  const { digestBytes } = await import('../../pipelines/digest.ts');
  const { bytesOf } = await import('../../tensor/tensor.ts');
  const noise = await readStartNoise(path);
  if ((await digestBytes(bytesOf(noise))) !== wanted)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} does not hold the start noise that the picture was made from.`,
    );
  return noise;
}

/** Flags of tensors that a record names by their digest; pixels and embeddings are given by programs only. */
const tensorFlags = {
  latent: '--from-latents FILE',
  depth: '--depth-map FILE',
  pixels: null,
  small: '--small FILE',
  imageEmbedding: null,
} as const;

async function recordedTensors(values: Values, digests: GenerationRecord['digests']): Promise<GivenTensors> {
  const { digestBytes } = await import('../../pipelines/digest.ts');
  const { bytesOf } = await import('../../tensor/tensor.ts');
  const given: GivenTensors = await readImageTensors(values);
  for (const [name, flag] of Object.entries(tensorFlags) as [keyof typeof tensorFlags, string | null][]) {
    const wanted = digests[name];
    if (wanted === undefined) continue;
    const tensor = given[name];
    if (!tensor)
      throw new UsageError(
        flag === null
          ? `The picture was made from a tensor (${name}) that only a program can give.`
          : `The picture was made with a given ${name}. Give it with ${flag}.`,
      );
    if ((await digestBytes(bytesOf(tensor))) !== wanted)
      throw new StableDiffusionError(
        'invalid-argument',
        `The given ${name} is not the one that the picture was made with.`,
      );
  }
  return given;
}

/** Starts the run that makes the batch of the picture again, and only that batch; of those before it only the noise is drawn. */
async function startAgain(
  model: Model,
  { refiner, classifier, stages }: RunModels,
  record: GenerationRecord,
  values: Values,
  controls: ControlInputs,
  signal: AbortSignal,
): Promise<Pipeline> {
  const { digests, task } = record;
  const { replayRequest } = await import('../../generation/record.ts');
  const { generate } = await import('../../pipelines/generate.ts');
  if (digests.encoded !== undefined)
    throw new UsageError('The picture was made from encoded prompts that only a program can give.');
  const options = {
    ...replayRequest(record),
    refiner,
    classifier,
    ...(record.enlarge ? { enlarge: record.enlarge.map((stage, i) => ({ ...stage, model: stages[i] })) } : {}),
    ...joinControls(record, controls),
    ...(values.noSafety ? { safety: false } : {}),
    ...(digests.startNoise === undefined
      ? {}
      : { startNoise: await recordedNoise(values.initLatents, digests.startNoise) }),
    ...(task === 'txt2img' || digests.image === undefined
      ? {}
      : { image: await recordedImage(values.init, digests.image ?? '', 'another picture', '--init-img') }),
    ...(task === 'inpaint' ? { mask: await recordedImage(values.mask, digests.mask ?? '', 'a mask', '--mask') } : {}),
    ...(await recordedTensors(values, digests)),
    signal,
  };
  // The task's schema refuses a record without the pictures that the task needs.
  return generate(model, options as TaskOptions);
}

async function makeAgain(context: CliContext, record: GenerationRecord, values: Values): Promise<GeneratedImage> {
  checkWork(record, values.large);
  const progress = createProgress(context.err, context.now, values.quiet || values.json);
  progress.stage('loading');
  const model = await loadNamedModel(context, {
    ...values,
    model: await modelPath(record.model, values.model),
    ema: values.ema || record.ema === true,
    precision: values.precision ?? record.precision,
  });
  let others: RunModels | undefined;
  let controls: ControlInputs | undefined;
  try {
    checkAdapters(record, model);
    const { refiner, classifier } = record;
    const named = {
      refiner: refiner && (await modelPath(refiner, values.refiner, '--refiner')),
      classifier: classifier && (await modelPath(classifier, values.classifier, '--classifier')),
      enlarge: await stagePaths(record, values),
    };
    others = await openRunModels(context, named, model, values);
    controls = await openControls(model, values);
    await checkControls(record, controls);
    for await (const event of await startAgain(model, others, record, values, controls, context.signal)) {
      if (event.kind === 'step') progress.step('sampling', event.step, event.steps);
      const made = event.kind === 'result' ? event.images[record.index] : undefined;
      if (made) return { ...made, record };
    }
  } finally {
    progress.clear();
    await others?.[Symbol.asyncDispose]();
    if (controls) await closeControls(controls);
    await model.dispose();
  }
  throw new StableDiffusionError(
    'invalid-argument',
    `The record says picture ${record.index} of a batch of ${record.batchSize}.`,
  );
}

/** A picture of ComfyUI's, which has no record of ours. */
async function carriesWorkflow(bytes: Uint8Array): Promise<boolean> {
  const { readImageMetadata } = await import('../../image/metadata/image-metadata.ts');
  const { record, texts } = readImageMetadata(bytes);
  return record === undefined && texts.has('prompt');
}

/** Runs the picture's workflow, and compares the picture with the one that is nearest of those it writes. */
async function replayWorkflow(context: CliContext, path: string, bytes: Uint8Array, values: Values): Promise<number> {
  const { remakePictures } = await import('../replay-workflow.ts');
  const quiet = values.quiet || values.json;
  const { model, models, comfyui, device, threads, large } = values;
  const made = await remakePictures(context, path, { model, models, comfyui, device, threads, large, quiet });
  const compared = await Promise.all(
    made.map(async (picture) => ({ ...picture, ...(await comparePicture(path, bytes, picture.image)) })),
  );
  const [nearest] = compared.sort((a, b) => a.largest - b.largest || a.share - b.share);
  if (!nearest) return 1;
  const { largest, share } = nearest;
  let written: string | null = null;
  if (!values.skipSave) {
    const files = await pictureFiles({
      output: values.output,
      outdir: values.outdir ?? 'outputs/replay-samples',
      count: 1,
      replace: values.force,
    });
    const { writeNewFile } = await import('../../files/write-file-node.ts');
    written = await files.picture((name, replace) => writeNewFile(name, [nearest.bytes], { replace }));
  }
  if (values.json)
    context.out.write(`${JSON.stringify({ path: written, equal: largest === 0, difference: { largest, share } })}\n`);
  else reportDifference(context, path, written, { largest, share });
  return largest <= 1 ? 0 : 1;
}

export const replay = defineCommand({
  description:
    'Makes a picture again from the settings in its file, or from the workflow that a picture of ComfyUI carries, and says whether it is the same. The exit code is 0 where it is, to within one level, and 1 where it is not.',
  words: '<image>',
  options,
  examples: [
    'sd replay outputs/txt2img-samples/samples/00000.png',
    'sd replay picture.png --model sd-v1-4.ckpt --skip_save',
  ],
  async run(context, [path = ''], values) {
    const watch = createStopwatch(context.now);
    const { readFileOf } = await import('../../files/open-node.ts');
    const bytes = await readFileOf('picture', path);
    if (await carriesWorkflow(bytes)) return replayWorkflow(context, path, bytes, values);
    const record = await readRecord(path, bytes);
    const made = await makeAgain(context, record, values);
    const { largest, share } = await comparePicture(path, bytes, made.image);
    let written: string | null = null;
    if (!values.skipSave) {
      const files = await pictureFiles({
        output: values.output,
        outdir: values.outdir ?? 'outputs/replay-samples',
        count: 1,
        replace: values.force,
      });
      const { saveImage } = await import('../../pipelines/image-files-node.ts');
      written = await files.picture((name, replace) => saveImage(name, made, { signal: context.signal, replace }));
    }
    if (values.json) {
      context.out.write(
        `${JSON.stringify({ path: written, equal: largest === 0, difference: { largest, share }, record, timings: watch.timings() })}\n`,
      );
    } else reportDifference(context, path, written, { largest, share });
    return largest <= 1 ? 0 : 1;
  },
});
