/** Opens weights by path: one file, the index of a sharded checkpoint, or a folder that holds one network as diffusers saves it. */

import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { fileError, openFile } from '../files/byte-source-node.ts';
import { openWeights } from './open-weights.ts';
import { openSharded, parseShardIndex } from './sharded.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { isHiddenName } from '../files/hidden-name.ts';

export interface OpenWeightsOptions {
  /** For a folder: the variant to open, such as `fp16`. Default: the files without a variant, or the only variant. */
  readonly variant?: string;
}

const maximumIndex = 64 * 2 ** 20;

/** Files and folders of other programs' weights. */
const foreignWeights =
  /\.(?:onnx|engine|trt|mlmodelc|mlpackage|msgpack|h5|tflite)$|^openvino_.*\.xml$|^Manifest\.json$/;

/** The base names of diffusers, transformers and PyTorch, in search order, and the file extensions, best first. */
const baseNames = ['diffusion_pytorch_model', 'model', 'pytorch_model', 'open_clip_model'];
const endings = ['safetensors', 'bin'];

/** Opens `path`, reading headers only. Throws `file-not-found`, `file-access`, or what `openWeights` throws. */
export async function openWeightsAt(path: string, options: OpenWeightsOptions = {}): Promise<WeightSource> {
  const status = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  const file = status.isDirectory() ? join(path, await chooseFile(path, options.variant)) : path;
  return /\.index(?:\.[^./\\]+)?\.json$/.test(file) ? openIndex(file) : openWeights(await openFile(file));
}

async function openIndex(path: string): Promise<WeightSource> {
  const source = await openFile(path);
  let bytes: Uint8Array;
  try {
    if (source.size > maximumIndex)
      throw new StableDiffusionError(
        'file-corrupt',
        `${path} has ${source.size} bytes, too many for an index of shards.`,
      );
    bytes = await source.read(0, source.size);
  } finally {
    await source.close();
  }
  return openSharded(path, parseShardIndex(path, bytes), async (file) =>
    openWeights(await openFile(join(dirname(path), file))),
  );
}

/** The file of a folder to open: .safetensors before .bin, one file before shards, without variant before one. */
async function chooseFile(folder: string, variant: string | undefined): Promise<string> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  const there = new Set(names);
  const candidates = (of: string | undefined): string[] =>
    endings.flatMap((ending) =>
      baseNames.flatMap((base) =>
        of === undefined
          ? [`${base}.${ending}`, `${base}.${ending}.index.json`]
          : [`${base}.${of}.${ending}`, `${base}.${ending}.index.${of}.json`, `${base}.${of}.${ending}.index.json`],
      ),
    );
  const found = candidates(variant).find((name) => there.has(name));
  if (found !== undefined) return found;

  const weights = names.filter((name) => !isHiddenName(name) && /\.(?:safetensors|bin|pt|pth|ckpt)$/.test(name)).sort();
  if (variant === undefined) {
    const variants = new Set(
      names.flatMap((name) => /^[a-z_]+\.([A-Za-z0-9_]+)\.(?:safetensors|bin)$/.exec(name)?.[1] ?? []),
    );
    for (const other of variants) {
      const name = candidates(other).find((candidate) => there.has(candidate));
      if (name !== undefined) return name;
    }
    const [only, ...others] = weights;
    if (only !== undefined && others.length === 0) return only;
  }
  const foreign = names.filter((name) => foreignWeights.test(name)).sort();
  if (weights.length === 0 && (foreign.length > 0 || foreignWeights.test(folder)))
    throw new StableDiffusionError(
      'file-unsupported',
      `${folder} holds a model of ONNX, OpenVINO, TensorRT, Core ML, Flax or TensorFlow${foreign.length > 0 ? ` (${foreign.slice(0, 3).join(', ')})` : ''}, which is not supported; get the weights as .safetensors.`,
    );
  throw new StableDiffusionError(
    'file-not-found',
    `${folder} holds no weights${variant === undefined ? '' : ` of the variant ${variant}`} as diffusers names them (${baseNames[0]}.safetensors, model.safetensors, …). ${
      weights.length > 0
        ? `There are ${weights.slice(0, 10).join(', ')}; name one of them.`
        : 'Name a file, or a folder such as unet/.'
    }`,
  );
}
