/** `sd sample` of a model of pixels of guided-diffusion: its flags, its classifier, and small pictures for an upsampler. */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { UsageError } from './options.ts';
import { fileFacts, type SampleContext, type SampleSource, type SampleValues } from './sample-kind.ts';

/** The classes `arr_1` of an archive, one for each of its pictures. */
function labelsOf({ dtype, shape, data }: Tensor, path: string, count: number, classes: number): readonly number[] {
  const labels = Array.from(data as ArrayLike<number | bigint>, Number);
  if (shape.length !== 1 || labels.length !== count)
    throw new StableDiffusionError(
      'shape-mismatch',
      `${path}: arr_1 is ${dtype} [${shape.join(', ')}], and there are ${count} pictures. Give one class for each.`,
    );
  const wrong = labels.find((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong !== undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path}: arr_1 has the class ${wrong}, and the model has the classes 0 to ${classes - 1}.`,
    );
  return labels;
}

/** The pictures of an archive: `arr_0` [n, h, w, 3] of bytes, and their classes `arr_1` for a model of classes. */
async function smallPictures(path: string, side: number, classes: number | null) {
  const { openFile } = await import('../files/byte-source-node.ts');
  const { openNpz } = await import('../formats/npz.ts');
  const source = await openFile(path);
  try {
    const archive = await openNpz(source);
    const pictures = await archive.read('arr_0');
    const [count = 0, height, width, channels] = pictures.shape;
    if (pictures.dtype !== 'uint8' || height !== side || width !== side || channels !== 3 || count === 0)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${path}: arr_0 is ${pictures.dtype} [${pictures.shape.join(', ')}], and the upsampler takes uint8 [pictures, ${side}, ${side}, 3].`,
      );
    const labels =
      classes !== null && archive.names.includes('arr_1')
        ? labelsOf(await archive.read('arr_1'), path, count, classes)
        : undefined;
    const size = 3 * side * side;
    const { float32 } = await import('../tensor/tensor.ts');
    const read = async (index: number): Promise<{ picture: Tensor<'float32'>; label?: number }> => {
      const at = index % count;
      const data = new Float32Array(size);
      for (let i = 0; i < side * side; i++)
        for (let c = 0; c < 3; c++)
          data[c * side * side + i] = Math.fround(Number(pictures.data[at * size + i * 3 + c]) / 127.5) - 1;
      const picture = float32([1, 3, side, side], data);
      return labels ? { picture, label: labels[at] as number } : { picture };
    };
    return { count, read };
  } finally {
    await source.close();
  }
}

/** The flags of a classifier's file that concern the classifier. */
const classifierPart = (flags: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(flags).filter(([name]) => name.startsWith('classifier_') || name === 'num_classes'),
  );

/** The flags of a model's file that concern the model. */
const modelPart = (flags: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(flags).filter(([name]) => !name.startsWith('classifier_')));

export async function admSource(
  path: string,
  weights: WeightSource,
  values: SampleValues,
  run: SampleContext,
): Promise<SampleSource> {
  const {
    admFlagsFor,
    classifierFlags,
    parseAdmFlags,
    publishedAdmFlags,
    publishedAdmModels,
    publishedClassifierScale,
    storedAdmFlags,
  } = await import('../config/adm-published.ts');
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  const own = storedAdmFlags(weights.metadata, path);
  if (values.flags === undefined && !own && !publishedAdmFlags(path))
    throw new UsageError(
      `${path} is a model of guided-diffusion, whose flags are not in the file. Give --flags "--image_size 64 …" as its README has them, or a published name (${publishedAdmModels.join(', ')}).`,
    );
  const classifier = values.classifier === undefined ? undefined : await openWeightsAt(values.classifier);
  const ofClassifier = classifier && storedAdmFlags(classifier.metadata, values.classifier ?? '');
  const given = { ...modelPart(own), ...classifierPart(ofClassifier), ...parseAdmFlags(values.flags ?? '') };
  const plain = admFlagsFor(path, given);
  const { steps } = values;
  const respacing = values.respacing ?? (steps === undefined ? undefined : `${values.ddim ? 'ddim' : ''}${steps}`);
  const flags = admFlagsFor(path, {
    ...classifierFlags(plain.image_size),
    ...given,
    ...(respacing === undefined ? {} : { timestep_respacing: respacing }),
  });
  const { openPixelModel } = await import('../model/pixel-model.ts');
  const { pixelMaker } = await import('../pipelines/bulk/pixel-maker.ts');
  const model = await openPixelModel({ engine: run.engine, flags, weights, classifier });
  const { smallSide } = model;
  const base =
    values.base === undefined || smallSide === undefined
      ? undefined
      : await smallPictures(values.base, smallSide, model.classes);
  const classifierScale = classifier ? (values.classifierScale ?? publishedClassifierScale(path)) : undefined;
  return {
    maker: pixelMaker({
      model,
      seed: values.seed ?? 0,
      classes: values.classes,
      method: values.ddim ? 'ddim' : 'ddpm',
      eta: values.eta,
      classifierScale,
      small: base?.read,
      onStep: run.onStep,
    }),
    count: base?.count,
    facts: {
      flags,
      ddim: values.ddim,
      ...(values.eta === undefined ? {} : { eta: values.eta }),
      ...(values.classifier ? { classifier: await fileFacts(values.classifier), classifierScale } : {}),
      ...(values.base ? { base: await fileFacts(values.base) } : {}),
    },
    async close() {
      await model[Symbol.asyncDispose]();
      await classifier?.close();
    },
  };
}
