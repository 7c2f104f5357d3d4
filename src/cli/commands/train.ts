/** `sd train` (latent-diffusion's main.py): trains the model that a YAML file describes and writes it to a folder. */

import { basename, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { type CliContext, type Command, defineCommand } from '../command.ts';
import { distributedOptions, type RankSetting, withRanks } from '../distributed.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { exitCodes } from '../exit-codes.ts';
import { choice, flag, integer, list, type OptionValues, text, UsageError } from '../options.ts';
import type { Recipe } from '../../training/recipes.ts';
import { createTrainingProgress } from '../training-progress.ts';

const options = {
  config: list(
    ['--config', '--base', '-b'],
    'FILE',
    "configuration of model, data and training: YAML in LDM's format (default with --resume: that of the run); if there are several, later files override earlier ones",
    (given) => given,
  ),
  run: text(
    ['--run', '--logdir', '-l'],
    'DIR',
    'folder of the run (default: runs/NAME, after the configuration or recipe)',
  ),
  model: text(
    ['--model', '--ckpt'],
    'FILE',
    'for recipes: the model to fine-tune, a file or a diffusers folder (model.params.ckpt_path)',
  ),
  data: text(['--data'], 'DIR', 'pictures with captions, shards or Parquet files (data.params.train.params.data_root)'),
  annotator: text(
    ['--annotator'],
    'NAME',
    'for control networks: the preprocessor that draws the maps, such as canny (model.params.annotator)',
  ),
  steps: integer(['--steps'], 'steps to train (lightning.trainer.max_steps)', { min: 1 }),
  usr1: choice(
    ['--at-usr1'],
    ['save', 'stop'],
    'what SIGUSR1 does: save after the step and go on, or save and stop (default: save; with several ranks stop)',
  ),
  noTest: flag(['--no-test'], 'leave out the test pass over data.params.test at the end'),
  resume: flag(['--resume', '-r'], 'resume the run in that folder; with --config, start it if it does not exist'),
  report: flag(['--report'], 'write a report with curves and samples to report.html'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...distributedOptions,
  json: flag(['--json'], 'print each event as a line of JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

type Values = OptionValues<typeof options>;

interface Wanted {
  readonly document: unknown;
  readonly label: string;
  readonly folder: string;
}

/** The settings that options abbreviate. */
function settingsOf({ model, data, annotator, steps }: Values): string[] {
  return [
    ...(model === undefined ? [] : [`model.params.ckpt_path=${JSON.stringify(model)}`]),
    ...(data === undefined ? [] : [`data.params.train.params.data_root=${JSON.stringify(data)}`]),
    ...(annotator === undefined ? [] : [`model.params.annotator=${JSON.stringify(annotator)}`]),
    ...(steps === undefined ? [] : [`lightning.trainer.max_steps=${steps}`]),
  ];
}

async function recipeOf(name: string): Promise<Recipe> {
  const { recipes } = await import('../../training/recipes.ts');
  const found = Object.hasOwn(recipes, name) ? recipes[name] : undefined;
  if (!found)
    throw new UsageError(
      `${JSON.stringify(name)} is neither a recipe (${Object.keys(recipes).join(', ')}) nor a setting (key=value).`,
    );
  return found;
}

/** Recipes fine-tune a model that the caller names. */
function needsModel(name: string, document: unknown, { resume, run }: Values): void {
  const { model } = document as { readonly model?: { readonly params?: { readonly ckpt_path?: unknown } } };
  if (model?.params?.ckpt_path === undefined && !(resume && run !== undefined))
    throw new UsageError(
      `--model is required: the recipe ${name} fine-tunes a model. Example: --model v1-5.safetensors`,
    );
}

/** Recipes have everything but the pictures. */
function needsData(name: string, document: unknown, { resume, run }: Values): void {
  const { data } = document as { readonly data?: { readonly params?: { readonly train?: unknown } } };
  const { params } = (data?.params?.train ?? {}) as { readonly params?: { readonly data_root?: unknown } | null };
  if ((params?.data_root ?? undefined) === undefined && !(resume && run !== undefined))
    throw new UsageError(`--data is required: the recipe ${name} trains on pictures. Example: --data pictures/`);
}

/** The configuration of a file, a recipe, or the run to resume, with the settings of the command line applied. */
async function configuration(words: readonly string[], values: Values): Promise<Wanted> {
  const { config, run, resume } = values;
  const [first] = words;
  const name = first !== undefined && !first.includes('=') ? first : undefined;
  const settings = [...settingsOf(values), ...(name === undefined ? words : words.slice(1))];
  if (name !== undefined && config !== undefined)
    throw new UsageError(
      `Give either a recipe (${name}) or a configuration (--config ${config.join(', ')}), not both.`,
    );
  if (name === undefined && config === undefined && !(resume && run !== undefined))
    throw new UsageError(
      'Nothing to train. Give a configuration with --config FILE.yaml, a recipe such as lora, or the folder of a run with --resume --run DIR.',
    );
  const folder = run ?? join('runs', name ?? basename(config?.at(-1) ?? '').replace(/\.ya?ml$/i, ''));
  const { withOverrides } = await import('../../config/overrides.ts');
  if (name !== undefined) {
    const recipe = await recipeOf(name);
    const document = withOverrides(recipe.document, settings);
    if (recipe.needsModel) needsModel(name, document, values);
    needsData(name, document, values);
    return { document, label: name, folder };
  }
  const paths = config ?? [join(folder, 'config.yaml')];
  const { parseYaml } = await import('../../config/yaml.ts');
  const { mergedDocuments } = await import('../../config/overrides.ts');
  const { readTextOf } = await import('../../files/open-node.ts');
  const documents: unknown[] = [];
  for (const path of paths) documents.push(parseYaml(await readTextOf('configuration', path), path));
  return { document: withOverrides(mergedDocuments(documents), settings), label: paths.join(' + '), folder };
}

/** On this rank, or alone. */
async function trainOn(
  { communicator, threads }: RankSetting,
  context: CliContext,
  words: readonly string[],
  values: Values,
): Promise<number> {
  const { document, label, folder } = await configuration(words, values);
  const { train } = await import('../../training/train-node.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  // One step and one checkpoint of a large model can take minutes.
  context.setPatience?.(15 * 60_000);
  // main.py of latent-diffusion saves at it and goes on. Slurm sends it before the end of a job's time; mpirun passes it on to every rank.
  let savesNow = false;
  if ((values.usr1 ?? (communicator.size > 1 ? 'stop' : 'save')) === 'stop') context.alsoStopAt?.('SIGUSR1');
  else
    context.onSignal?.('SIGUSR1', () => {
      savesNow = true;
    });
  const progress = createTrainingProgress(context, {
    quiet: values.quiet || values.json || communicator.rank > 0,
  });
  await using engine = await startEngine({ ...values, threads }, context);
  let status: 'finished' | 'stopped' = 'finished';
  let trained = '';
  const onInterrupt = (): void =>
    progress.note(
      'Saving after this step, then stopping. Press Ctrl-C again to stop at once and lose the steps since the last checkpoint.',
    );
  context.signal.addEventListener('abort', onInterrupt);
  try {
    const events = train({
      document,
      label,
      folder,
      resume: values.resume,
      engine,
      codec: nodeImageCodec,
      report: values.report,
      clock: () => Date.now(),
      communicator,
      version: context.version,
      signal: context.signal,
      withoutTest: values.noTest,
      takeSaveRequest() {
        const asked = savesNow;
        savesNow = false;
        return asked;
      },
      onProblem: ({ message }) => progress.warn(message),
    });
    for await (const event of events) {
      if (values.json) context.out.write(`${JSON.stringify(event)}\n`);
      progress.event(event);
      // Only now is everything found that training needs.
      if (event.kind === 'begin' && communicator.rank === 0)
        progress.note(
          `Training into ${folder}${communicator.size === 1 ? '' : ` on ${communicator.size} ranks with ${threads} ${threads === 1 ? 'thread' : 'threads'} each`}.`,
        );
      if (event.kind === 'begin' && event.beganAgain)
        progress.warn(`The run in ${folder} ended before its first checkpoint; it begins again at step 0.`);
      if (event.kind === 'model') trained = event.path;
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
    context.err.write(`Stopped. Resume with: sd train --resume --run ${folder}\n`);
    return exitCodes.interrupted;
  }
  if (!values.json) context.out.write(`${trained || folder}\n`);
  return exitCodes.ok;
}

const run: Command<typeof options>['run'] = (context, words, values) =>
  withRanks(context, values, (setting, own) => trainOn(setting, own, words, values));

export const trainCommand = defineCommand({
  description:
    "Trains a model described by a configuration in latent-diffusion's YAML or by a recipe (lora, dreambooth, textual-inversion, controlnet, t2i-adapter, image-train, super-res-train, classifier-train). key=value changes a setting. Ctrl-C saves and stops; a resumed run ends with the same weights.",
  words: '[recipe-or-key=value...]',
  options,
  examples: [
    'sd train --config autoencoder.yaml --report',
    'sd train --config base.yaml --config mine.yaml --run runs/mine',
    'sd train --config autoencoder.yaml data.params.batch_size=4 lightning.trainer.max_steps=2000',
    'sd train lora --model v1-5.safetensors --data pictures/ --run runs/style model.params.unet.rank=16',
    'sd train image-train --data pictures/ model.params.image_size=32 model.params.class_cond=true',
    'sd train controlnet --model v1-5.safetensors --data pictures/ --annotator canny',
    'sd train --resume --run runs/autoencoder',
    'mpirun -n 4 sd train --config autoencoder.yaml',
  ],
  run,
});
