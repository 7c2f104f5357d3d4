/** `sd forward`: runs one network on tensors from a file, with the tensor names of the reference set. Parity is checked with it. */

import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, precisionOf, startEngine } from '../engine-options.ts';
import { choice, flag, required, text, UsageError } from '../options.ts';
import { createStopwatch } from '../stopwatch.ts';
import type { DetectedNetwork } from '../../checkpoints/detect.ts';
import type { PartName } from '../../checkpoints/network-weights.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

const options = {
  model: text(
    ['--model', '--ckpt', '-m'],
    'PATH',
    'weights of one network; with --part, a complete checkpoint or diffusers folder',
  ),
  config: text(
    ['--config'],
    'FILE',
    "YAML of a network (target, params) or of a whole model, or Hugging Face's config.json (default: by names and shapes)",
  ),
  part: choice(
    ['--part'],
    ['unet', 'first_stage', 'cond_stage', 'cond_stage_2', 'safety'],
    'the network of a complete checkpoint to run',
  ),
  inputs: text(
    ['--inputs', '-i'],
    'FILE',
    'tensors: x, timesteps, context, y; image, noise, z; input_ids; … (.safetensors)',
  ),
  output: text(
    ['--output', '-o'],
    'FILE',
    'output file (.safetensors) with out; moments, mean, logvar, sample, decoded; last_hidden_state; …',
  ),
  taps: text(
    ['--taps'],
    'NAMES',
    'additional outputs of inner modules, separated by commas, or "all": intermediate.NAME',
  ),
  ema: flag(['--ema'], 'use the averaged (EMA) weights'),
  force: flag(['--force'], 'replace the output file even if it is not an earlier result'),
  json: flag(['--json'], 'print the names and shapes of the outputs as JSON'),
  ...engineOptions,
};

/** Opens the network given by path, configuration and part. The caller closes its source. */
async function openNamedNetwork(
  path: string,
  configPath: string | undefined,
  part: PartName | undefined,
  ema: boolean,
): Promise<DetectedNetwork> {
  const { openCheckpointAt, pretrainedBeside, readConfigFile } = await import(
    '../../checkpoints/open-checkpoint-node.ts'
  );
  const { networkConfigs } = await import('../../checkpoints/checkpoint-networks.ts');
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { openNetwork } = await import('../../checkpoints/network-weights.ts');
  if (await isThere(join(path, 'model_index.json'))) {
    if (part === undefined) throw new UsageError(`${path} is a complete model. Choose one network with --part.`);
    const { parts, config, safety_config, label } = await openCheckpointAt(path);
    const source = parts[part];
    await Promise.all(
      Object.values<WeightSource>({ ...parts }).map((other) => (other === source ? undefined : other.close())),
    );
    const network = networkConfigs(config, safety_config).get(part);
    if (source && network) return { config: network, source, layout: 'diffusers', prefix: '', assumed: [] };
    await source?.close();
    throw new StableDiffusionError('invalid-argument', `${label} has no separate network ${part}.`);
  }
  const chosen = configPath ?? (await configBeside(path));
  const config = chosen === undefined ? undefined : await readConfigFile(chosen);
  const pretrained = chosen === undefined ? undefined : await pretrainedBeside(config, chosen);
  const source = await openWeightsAt(path);
  try {
    return await openNetwork(source, {
      config,
      part,
      ...(ema ? { ema } : {}),
      ...(pretrained ? { pretrained: () => pretrained } : {}),
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The configuration next to the weights: NAME.yaml; or config.json or config.yaml, in a folder or next to a file with a generic name. */
async function configBeside(path: string): Promise<string | undefined> {
  const candidates = [join(path, 'config.json'), path.replace(/\.[^./\\]+$/, '.yaml')];
  if (/^(diffusion_pytorch_model|model|pytorch_model|weights)\./.test(basename(path)))
    candidates.push(join(dirname(path), 'config.json'), join(dirname(path), 'config.yaml'));
  for (const candidate of candidates) if (candidate !== path && (await isThere(candidate))) return candidate;
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isFile(),
    () => false,
  );
}

export const forwardCommand = defineCommand({
  description:
    'Runs one network on tensors from a file and writes every output that can be computed from them, with the tensor names of the reference set.',
  options,
  examples: [
    'sd forward --model sd-v1-4.ckpt --part unet --inputs in.safetensors --output out.safetensors',
    'sd forward --model weights.safetensors --config config.yaml --inputs in.safetensors --output out.safetensors --taps all',
    'sd forward --model stable-diffusion-v1-5/vae --inputs z.safetensors --output image.safetensors',
  ],
  async run(context, _words, values) {
    const watch = createStopwatch(context.now);
    const [path, inputsPath, output] = [
      required(values.model, '--model', 'forward'),
      required(values.inputs, '--inputs', 'forward'),
      required(values.output, '--output', 'forward'),
    ];
    const { checkTensorFile, readTensorFile, writeTensorFile } = await import('../tensor-file.ts');
    const { forward } = await import('../../model/forward.ts');
    await checkTensorFile(output, values.force);
    const inputs = await readTensorFile(inputsPath, context.signal);
    const { config, source, assumed } = await openNamedNetwork(path, values.config, values.part, values.ema);
    try {
      await using engine = await startEngine(values, context);
      const taps =
        values.taps === undefined
          ? undefined
          : values.taps === 'all'
            ? 'all'
            : values.taps.split(',').map((name) => name.trim().replace(/^intermediate\./, ''));
      watch.end('load');
      watch.begin('run');
      const results = await forward({
        engine,
        config,
        weights: source,
        inputs,
        precision: precisionOf(values, engine),
        signal: context.signal,
        taps,
      });
      watch.end();
      await writeTensorFile(output, results, { signal: context.signal, replace: values.force });
      const outputs = Array.from(results, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
      if (values.json)
        context.out.write(
          `${JSON.stringify({ path: output, network: config.kind, assumed, outputs, timings: watch.timings() })}\n`,
        );
      else {
        for (const phrase of assumed) context.err.write(`sd: assumed: ${phrase}\n`);
        for (const { name, dtype, shape } of outputs) context.out.write(`${name}  ${dtype} [${shape.join(', ')}]\n`);
      }
    } finally {
      await source.close();
    }
    return 0;
  },
});
