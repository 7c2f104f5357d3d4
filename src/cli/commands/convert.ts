/** `sd convert`: weights in another layout, file format or element type. */

import { existsSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readTextOf } from '../../files/open-node.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { choice, flag, list, type OptionValues, text, UsageError } from '../options.ts';
import { createProgress } from '../progress.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { GgufType } from '../../formats/gguf-write.ts';
import type { WriteOptions } from '../convert-files.ts';

const dtypeNames = [
  'f16',
  'f32',
  'bf16',
  'int8',
  'q8_0',
  'q6_K',
  'q5_K',
  'q5_1',
  'q5_0',
  'q4_K',
  'iq4_nl',
  'q4_1',
  'q4_0',
  'q3_K',
  'q2_K',
] as const;

const options = {
  layout: choice(
    ['--layout'],
    ['compvis', 'diffusers', 'split', 'keep'],
    'layout of the output: one .safetensors file (compvis), a folder (diffusers; a file for a single network), a folder of files for each network as ComfyUI has them (split), or unchanged (keep). Default: compvis if the output of a complete model is a .safetensors file, diffusers if it is a folder, else keep',
  ),
  dtype: choice(
    ['--dtype'],
    dtypeNames,
    'element type (default: unchanged); int8 rounds large weights by rows, the others to f16; q8_0 … for outputs that end in .gguf',
    {
      float16: 'f16',
      fp16: 'f16',
      float32: 'f32',
      fp32: 'f32',
      bfloat16: 'bf16',
    },
  ),
  vae: text(['--vae'], 'FILE', "autoencoder (VAE) to write in place of the model's own"),
  textEncoder: list(
    ['--text-encoder'],
    'FILE',
    "text encoder to write in place of the model's own; twice for SDXL",
    (given) => given,
  ),
  ema: flag(['--ema'], 'use the averaged (EMA) weights'),
  config: text(
    ['--config'],
    'FILE',
    'YAML or config.json (default: FILE.yaml next to FILE.safetensors, else inferred from names and shapes)',
  ),
  force: flag(['--force'], 'replace files that exist (default: they are left, and it is an error)'),
  json: flag(['--json'], 'print the paths as JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof options>;
const isFile = (output: string): boolean => /\.(safetensors|gguf)$/.test(output);
/** Endings of files that a folder is not called by. */
const otherFiles = /\.(safetensors|sft|gguf|ckpt|pt|pth|bin|onnx|h5|msgpack|zip|ya?ml|json|png)$/i;

async function convertModel(
  context: CliContext,
  input: string,
  output: string,
  isFolder: boolean,
  values: Values,
  write: WriteOptions,
): Promise<readonly string[]> {
  const { openCheckpointAt } = await import('../../checkpoints/open-checkpoint-node.ts');
  const { writeCompVis, writeDiffusersFolder } = await import('../convert-files.ts');
  const beside = input.replace(/\.[^./\\]+$/, '.yaml');
  const yaml = values.config ?? (!isFolder && beside !== input && existsSync(beside) ? beside : undefined);
  const checkpoint = await openCheckpointAt(input, {
    config: yaml,
    ...(values.vae === undefined ? {} : { vae: values.vae }),
    ...(values.textEncoder ? { textEncoder: values.textEncoder } : {}),
    ...(values.ema ? { ema: true } : {}),
  });
  try {
    const toFolder =
      values.layout === 'diffusers' || values.layout === 'split' || (values.layout === undefined && !isFile(output));
    if (!toFolder)
      return await writeCompVis(
        output,
        checkpoint,
        yaml === undefined ? undefined : await readTextOf('configuration', yaml),
        write,
      );
    if (otherFiles.test(output))
      throw new UsageError(
        `In the layout ${values.layout ?? 'diffusers'} a complete model is a folder, but ${output} is the name of a file.${isFile(output) ? '' : ' Files are written as .safetensors and .gguf.'}`,
      );
    if (values.layout === 'split') {
      const { writeSplitFolder } = await import('../write-split-files.ts');
      await writeSplitFolder(output, checkpoint, write);
      return [output];
    }
    const leftOut = await writeDiffusersFolder(output, checkpoint, isFolder ? input : undefined, write);
    for (const path of leftOut) context.err.write(`sd: ${path} is not a file of a tokenizer and was not copied.\n`);
    if (Object.keys(checkpoint.recommendation?.settings ?? {}).length > 0)
      context.err.write('sd: a diffusers folder does not keep the settings that the model recommends.\n');
    return [output];
  } finally {
    await checkpoint.close();
  }
}

async function convertNetwork(
  input: string,
  output: string,
  values: Values,
  write: WriteOptions,
): Promise<readonly string[]> {
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { diffusersNetwork, networkDocument, writeWeights } = await import('../convert-files.ts');
  if (values.layout === 'split')
    throw new UsageError(`${input} is not a complete model; --layout split writes the files of one.`);
  if (!isFile(output)) throw new UsageError(`The output must end in .safetensors or .gguf, got ${output}.`);
  if (values.ema)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${input} is not a complete model, so it has no averaged weights.`,
    );
  const source = await openWeightsAt(input);
  try {
    const { layout } = values;
    if (layout === undefined || layout === 'keep') {
      if (output.endsWith('.gguf')) await writeLoneGguf(output, source, write);
      else await writeWeights(output, source, write);
      return [output];
    }
    const { openNetwork } = await import('../../checkpoints/network-weights.ts');
    const { readConfigFile } = await import('../../checkpoints/open-checkpoint-node.ts');
    const beside = join(input, 'config.json');
    const config = values.config ?? (existsSync(beside) ? beside : undefined);
    const network = await openNetwork(source, config === undefined ? {} : { config: await readConfigFile(config) });
    if (layout === 'compvis') {
      await writeWeights(output, network.source, write);
      return [output];
    }
    await writeWeights(output, diffusersNetwork(network.source, network.config), write);
    const document = networkDocument(network.config);
    const documentPath = join(dirname(output), 'config.json');
    if (!document || existsSync(documentPath)) return [output];
    const { writeNewText } = await import('../../files/write-file-node.ts');
    await writeNewText(documentPath, `${JSON.stringify(document, null, 2)}\n`);
    return [output, documentPath];
  } finally {
    await source.close();
  }
}

/** The element type to write. Throws a usage error for a quantised type in another file than GGUF. */
function typeOf(dtype: Values['dtype'], output: string): GgufType | 'int8' | undefined {
  if (dtype === undefined) return undefined;
  if (dtype === 'f16') return 'float16';
  if (dtype === 'f32') return 'float32';
  if (dtype === 'bf16') return 'bfloat16';
  if (dtype === 'int8') {
    if (output.endsWith('.gguf'))
      throw new UsageError('int8 is a type of .safetensors files. For a .gguf file choose q8_0.');
    return dtype;
  }
  if (!output.endsWith('.gguf'))
    throw new UsageError(
      `${dtype} is a type of GGUF files. Name an output that ends in .gguf, such as model-${dtype}.gguf.`,
    );
  return dtype;
}

/** A network alone as GGUF: a UNet as ComfyUI-GGUF has it, CompVis's names and its architecture; others with their own names. */
async function writeLoneGguf(output: string, source: WeightSource, write: WriteOptions): Promise<void> {
  const { writeWeights } = await import('../convert-files.ts');
  const { detectNetwork } = await import('../../checkpoints/detect.ts');
  const { config, source: named } = detectNetwork(source);
  if (config.kind !== 'unet') return writeWeights(output, source, write);
  return writeWeights(output, named, { ...write, architecture: config.adm_in_channels === null ? 'sd1' : 'sdxl' });
}

/** `hasParts`: the other parts are given, so that a UNet alone is a whole model. */
async function isWholeModel(input: string, isFolder: boolean, hasParts: boolean): Promise<boolean> {
  if (isFolder) {
    const { splitFilesIn } = await import('../../checkpoints/split-files-node.ts');
    return existsSync(join(input, 'model_index.json')) || (await splitFilesIn(input)) !== undefined;
  }
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { isCheckpoint } = await import('../../checkpoints/checkpoint.ts');
  const { putTogether } = await import('../../checkpoints/put-together.ts');
  const source = await openWeightsAt(input);
  const whole = hasParts || isCheckpoint(await putTogether(source, {}));
  await source.close();
  return whole;
}

/** Checks that the output is writable before the work, and that it does not overwrite an input. */
async function checkOutput(input: string, output: string, { force }: Values): Promise<void> {
  if (/\.(ya?ml|json)$/i.test(output))
    throw new UsageError(`${output} is the name of a configuration. Name a .safetensors or .gguf file, or a folder.`);
  if (resolve(input) === resolve(output)) throw overInput();
  const { whatIsAt } = await import('../../files/open-node.ts');
  if (!isFile(output) || (await whatIsAt(output)) !== 'file') return;
  const { checkFree } = await import('../../files/write-file-node.ts');
  await checkFree(output, force);
  const real = await realpath(output);
  if ((await filesOf(input)).has(real)) throw overInput();
}

const overInput = (): UsageError => new UsageError('The output would overwrite the input. Choose another output file.');

/** The real paths of the weight files of `input`: its shards, or those of a folder. */
async function filesOf(input: string): Promise<ReadonlySet<string>> {
  const { openCheckpointAt } = await import('../../checkpoints/open-checkpoint-node.ts');
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const paths = new Set([await realpath(input)]);
  const { splitFilesIn } = await import('../../checkpoints/split-files-node.ts');
  if (existsSync(join(input, 'model_index.json')) || (await splitFilesIn(input))) {
    const checkpoint = await openCheckpointAt(input);
    for (const part of Object.values(checkpoint.parts)) addFiles(part, paths);
    await checkpoint.close();
  } else {
    const source = await openWeightsAt(input);
    addFiles(source, paths);
    await source.close();
  }
  return paths;
}

function addFiles(source: WeightSource, paths: Set<string>): void {
  for (const name of source.entries.keys()) {
    const path = source.locate?.(name)?.path;
    if (path !== undefined) paths.add(path);
  }
}

async function run(context: CliContext, [input = '', output = '']: readonly string[], values: Values): Promise<number> {
  await checkOutput(input, output, values);
  const progress = createProgress(context.err, context.now, values.quiet || values.json);
  const write: WriteOptions = {
    dtype: typeOf(values.dtype, output),
    signal: context.signal,
    replace: values.force,
    onTensor: (done, total) => progress.step('writing', done + 1, total),
  };
  const isFolder = await stat(input).then(
    (status) => status.isDirectory(),
    () => false,
  );
  await makeFolder(dirname(output));
  const whole =
    values.layout !== 'keep' &&
    (await isWholeModel(input, isFolder, values.vae !== undefined && values.textEncoder !== undefined));
  const paths = await (whole
    ? convertModel(context, input, output, isFolder, values, write)
    : convertNetwork(input, output, values, write)
  ).finally(() => progress.clear());
  context.out.write(values.json ? `${JSON.stringify({ paths })}\n` : paths.map((path) => `${path}\n`).join(''));
  return 0;
}

export const convertCommand = defineCommand({
  description:
    'Converts weights to another layout or element type. A complete model becomes one single file with its YAML, a diffusers folder, or split files; a single network stays one file.',
  words: '<in> <out>',
  options,
  examples: [
    'sd convert sd-v1-4.ckpt sd-v1-4.safetensors --dtype f16',
    'sd convert sd-v1-4.ckpt sd-v1-4-diffusers --layout diffusers --ema',
    'sd convert stable-diffusion-v1-5/ sd-v1-5.safetensors --layout compvis',
    'sd convert sd-v1-4.safetensors sd-v1-4-q8_0.gguf --dtype q8_0',
  ],
  run,
});
