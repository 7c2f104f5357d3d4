/** `sd train` (latent-diffusion's main.py): trains what a YAML describes, into a folder. */

import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { exitCodes } from '../exit-codes.ts';
import { flag, type OptionValues, text, UsageError } from '../options.ts';
import { createTrainingProgress } from '../training-progress.ts';

const options = {
  config: text(['--config', '--base', '-b'], 'FILE', "what to train, on what and how: YAML in LDM's format (default with --resume: that of the run)"),
  run: text(['--run', '--logdir', '-l'], 'DIR', 'the folder of the run (default: runs/ and the name of the configuration)'),
  resume: flag(['--resume', '-r'], 'go on with the run in that folder, or start it where there is none'),
  report: flag(['--report'], 'keep a report with curves and samples in report.html'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  json: flag(['--json'], 'print every event as a line of JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof options>;

async function configuration({ config, run, resume }: Values, overrides: readonly string[]): Promise<{ document: unknown; label: string; folder: string }> {
  if (config === undefined && run === undefined) throw new UsageError('There is nothing to train. Give a configuration with --config FILE.yaml.');
  if (config === undefined && !resume) throw new UsageError('Give a configuration with --config FILE.yaml, or go on with the run by --resume.');
  const folder = run ?? join('runs', basename(config as string).replace(/\.ya?ml$/i, ''));
  const path = config ?? join(folder, 'config.yaml');
  const { parseYaml } = await import('../../config/yaml.ts');
  const { withOverrides } = await import('../../config/overrides.ts');
  const { fileError } = await import('../../weights/byte-source-node.ts');
  const content = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  return { document: withOverrides(parseYaml(content, path), overrides), label: path, folder };
}

async function run(context: CliContext, overrides: readonly string[], values: Values): Promise<number> {
  const { document, label, folder } = await configuration(values, overrides);
  const { train } = await import('../../training/train-node.ts');
  const { nodeImageCodec } = await import('../../image/codec-node.ts');
  // A step and a checkpoint of a large model take their time.
  context.setPatience?.(15 * 60_000);
  const progress = createTrainingProgress(context, { quiet: values.quiet || values.json });
  await using engine = await startEngine({ ...values, precision: undefined });
  let status: 'finished' | 'stopped' = 'finished';
  const onInterrupt = (): void => progress.note(`Stopping after this step, and saving. Ctrl-C again ends at once, and loses the steps since the last checkpoint.`);
  context.signal.addEventListener('abort', onInterrupt);
  try {
    progress.note(`Training into ${folder}.`);
    const events = train({ document, label, folder, resume: values.resume, engine, codec: nodeImageCodec, report: values.report, clock: () => Date.now(), signal: context.signal, onProblem: ({ message }) => progress.warn(message) });
    for await (const event of events) {
      if (values.json) context.out.write(`${JSON.stringify(event)}\n`);
      progress.event(event);
      if (event.kind === 'end') ({ status } = event);
    }
  } catch (error) {
    if (context.signal.aborted && error instanceof StableDiffusionError && error.code === 'aborted') status = 'stopped';
    else throw error;
  } finally {
    context.signal.removeEventListener('abort', onInterrupt);
    progress.clear();
  }
  if (status === 'stopped') {
    context.err.write(`Stopped. Go on with: sd train --resume --run ${folder}\n`);
    return exitCodes.interrupted;
  }
  if (!values.json) context.out.write(`${join(folder, 'model.safetensors')}\n`);
  return exitCodes.ok;
}

export const trainCommand = defineCommand({
  description: "Trains what a configuration in latent-diffusion's YAML describes, with values changed by key=value. Ctrl-C saves and stops; --resume goes on to the same weights.",
  words: '[key=value...]',
  options,
  examples: ['sd train --config autoencoder.yaml --report', 'sd train --config autoencoder.yaml data.params.batch_size=4 lightning.trainer.max_steps=2000', 'sd train --resume --run runs/autoencoder'],
  run,
});
