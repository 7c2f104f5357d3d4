/** One run for the command line: loads the model, saves pictures as they come, shows progress and previews. */

import { checkRequestOf } from '../generation/check-request.ts';
import { type ControlInputs, joinControls } from '../generation/control-inputs.ts';
import type { TaskOptions } from '../generation/inputs.ts';
import { presetText } from '../generation/presets.ts';
import type { Task } from '../generation/request.ts';
import type { MemoryUse } from '../model/free-networks.ts';
import type { Model } from '../model/model.ts';
import type { CliContext } from './command.ts';
import { closeControls, controlFieldsOf, openControls } from './control-options.ts';
import { memoryOf, precisionOf, startEngine } from './engine-options.ts';
import type { GenerationValues, ModelValues, OutputValues } from './generation-options.ts';
import { type OptionTable, UsageError } from './options.ts';
import { pictureFiles } from './output-files.ts';
import { createProgress, type Progress } from './progress.ts';
import { requestValues } from './request-flags.ts';
import { consume } from './consume-run.ts';
import { resolvePrompts } from './dynamic-prompts.ts';
import { type Prompts, readPrompts } from './prompts.ts';
import { stageSettings } from './stage-flags.ts';
import { openRunModels, type RunModels } from './run-models.ts';
import { createStopwatch } from './stopwatch.ts';

/** Loads the model the options name, with its engine. Dispose of it. */
export async function loadNamedModel(
  context: CliContext,
  values: ModelValues & { readonly taesd?: string | undefined; readonly quiet: boolean; readonly json: boolean },
  memory: MemoryUse = 'auto',
): Promise<Model> {
  const { loadModel } = await import('../model/load-model-node.ts');
  const { pullOptions } = await import('./download-progress.ts');
  const hub = await pullOptions(context, { quiet: values.quiet || values.json });
  const engine = await startEngine(values, context);
  const { config, ema, vocabulary, taesd, loras, embeddings, vae, textEncoder } = values;
  try {
    return await loadModel(values.model, {
      engine,
      ownsEngine: true,
      precision: precisionOf(values, engine),
      memory,
      ...memoryOf(values),
      config,
      hub,
      vae,
      ...(textEncoder ? { textEncoder } : {}),
      ...(ema ? { ema } : {}),
      vocabulary,
      taesd,
      ...(loras ? { loras } : {}),
      ...(embeddings ? { embeddings } : {}),
    });
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

export interface Run {
  readonly task: Task;
  /** The command's options: those that belong to the request say where in it their value goes. */
  readonly options: OptionTable;
  readonly values: ModelValues & GenerationValues & OutputValues;
  /** The prompt as words. */
  readonly words: readonly string[];
  /** Default folder. */
  readonly outdir: string;
  /** Loads the model. Default: the one that the options name. */
  readonly load?: () => Promise<Model>;
  /** Checks the loaded model, and gives what the request cannot hold: the task's pictures. */
  readonly inputs?: (model: Model) => object;
  /** Several runs of the loaded model instead, one after the other: what each has for `inputs`. */
  readonly rounds?: readonly (() => Promise<object>)[] | undefined;
}

/** Resolves to the exit code. */
export async function runGeneration(context: CliContext, run: Run): Promise<number> {
  const { words, outdir } = run;
  const watch = createStopwatch(context.now);
  const { prompts: read, values } = await resolvePrompts(await readPrompts(run.values, words, context), run.values);
  const fields = requestValues(run.options, { ...values, sampler: samplerName(values) });
  const settings = stageSettings(values);
  checkRequestOf(run.task, { ...fields, ...controlFieldsOf(values) });
  if (values.preset !== undefined && !values.quiet && !values.json)
    context.err.write(`Preset ${values.preset}: ${presetText(values.preset)}.\n`);
  const { prompts, loras } = await takeLoras(read, values, context);
  const startNoise =
    values.initLatents === undefined
      ? undefined
      : await (await import('./latents-file.ts')).readStartNoise(values.initLatents);
  const batch = values.samples ?? startNoise?.shape[0] ?? 1;
  const batches = prompts.fromFile ? chunks(prompts.lines, batch) : undefined;
  const count = (batches ? prompts.lines.length : batch) * (values.iterations ?? 1) * (run.rounds?.length ?? 1);
  const files = await pictureFiles({
    output: values.output,
    outdir: values.outdir ?? outdir,
    count,
    replace: values.force,
  });
  await checkOutputs(values);
  const progress = createProgress(context.err, context.now, values.quiet || values.json);
  progress.stage('loading');
  const isOneRun = (run.rounds?.length ?? 1) === 1 && fields['outpaint'] === undefined;
  const model = await (run.load?.() ?? loadNamedModel(context, { ...values, loras }, isOneRun ? 'once' : 'auto'));
  let others: RunModels | undefined;
  let controls: ControlInputs | undefined;
  try {
    others = await openRunModels(context, values, model, values);
    const { refiner, classifier, stages } = others;
    controls = await openControls(model, values);
    watch.end('load');
    checkPrompt(model, prompts.lines, values);
    if (values.promptSyntax !== 'a1111') notePrompts(model, prompts.lines, context, progress);
    // The weights are read while the text is encoded; errors are reported where the network is first used.
    if (controls.control.length + controls.imagePrompts.length === 0) model.prepare(context.signal).catch(() => {});
    const options = {
      task: run.task,
      ...fields,
      ...(batches
        ? { promptBatches: batches, batchSize: undefined }
        : { prompt: prompts.lines[0] ?? '', batchSize: batch }),
      startNoise,
      refiner,
      ...(classifier ? { classifier } : {}),
      ...(stages.length > 0 ? { enlarge: stages.map((stage, i) => ({ ...settings[i], model: stage })) } : {}),
      ...controlFieldsOf(values),
      ...joinControls(controlFieldsOf(values), controls),
      signal: context.signal,
    };
    const hash = values.skipSave ? undefined : modelHash(values.model);
    const { generate } = await import('../pipelines/generate.ts');
    // The schema checks the options.
    const rounds = run.rounds ?? [async () => run.inputs?.(model) ?? {}];
    for (const round of rounds)
      await consume(generate(model, { ...options, ...(await round()) } as TaskOptions), {
        context,
        values,
        files,
        progress,
        watch,
        columns: values.rows || batch,
        hash,
      });
    return 0;
  } finally {
    progress.clear();
    await others?.[Symbol.asyncDispose]();
    if (controls) await closeControls(controls);
    await model.dispose();
  }
}

/** In A1111's syntax: the prompts without their extra networks, and the LoRAs of the options and of the prompts. */
export async function takeLoras(
  given: Prompts,
  {
    promptSyntax,
    loras: named,
    loraFolder,
  }: Pick<ModelValues, 'loras' | 'loraFolder'> & Pick<GenerationValues, 'promptSyntax'>,
  { err }: CliContext,
): Promise<{ readonly prompts: Prompts; readonly loras: ModelValues['loras'] }> {
  if (promptSyntax !== 'a1111' || !given.lines.some((line) => line.includes('<')))
    return { prompts: given, loras: named };
  const { promptLoras } = await import('./prompt-loras.ts');
  const { prompts: lines, loras, warnings } = await promptLoras(given.lines, loraFolder);
  for (const warning of warnings) err.write(`sd: ${warning}\n`);
  return { prompts: { ...given, lines }, loras: [...(named ?? []), ...loras] };
}

/** Refuses output files that cannot be written, before the work. */
async function checkOutputs({ saveLatents, previewFile, force }: OutputValues): Promise<void> {
  const { checkFree } = await import('../files/write-file-node.ts');
  const { checkTensorFile } = await import('./tensor-file.ts');
  if (previewFile !== undefined) await checkFree(previewFile, force);
  if (saveLatents !== undefined) await checkTensorFile(saveLatents, force);
}

/** Pieces of `size`; the last may be shorter. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** Reads a seed; "random" draws one below 2^32. Throws `UsageError`. */
export function readSeed(given: string | undefined): number {
  if (given === undefined) return 42;
  if (given === 'random') return crypto.getRandomValues(new Uint32Array(1))[0] as number;
  const seed = /^[+-]?\d+$/.test(given) ? Number(given) : Number.NaN;
  if (!Number.isSafeInteger(seed))
    throw new UsageError(
      `--seed must be a whole number between -2^53 and 2^53, or "random", got ${JSON.stringify(given)}.`,
    );
  return seed;
}

/** SHA-256 of the model's file. Undefined for a folder. */
async function modelHash(model: string | undefined): Promise<string | undefined> {
  const { pocketModel } = await import('../model/load-model-node.ts');
  const { sha256OfFile } = await import('../files/sha256-node.ts');
  return sha256OfFile(model ?? pocketModel).catch(() => undefined);
}

/** The sampler's name, which two switches of CompVis's scripts say too. Throws `UsageError`. */
function samplerName({ plms, dpmSolver, sampler }: GenerationValues): string | undefined {
  const named = [sampler, plms ? 'plms' : undefined, dpmSolver ? 'dpm-solver' : undefined].filter(
    (name) => name !== undefined,
  );
  if (named.length > 1) throw new UsageError('--sampler, --plms and --dpm_solver exclude each other; give one.');
  return named[0];
}

function checkPrompt(model: Model, prompts: readonly string[], values: GenerationValues): void {
  const takesText = model.tokenizer !== undefined;
  if (takesText && prompts.length === 0)
    throw new UsageError('A prompt is required. Give it as words, with --prompt, or in a file with --from-file.');
  if (model.checkpoint.kind === 'class' && values.classes === undefined)
    throw new UsageError(`${model.checkpoint.label} makes pictures of classes. Choose one with --class N.`);
  if (model.checkpoint.kind === 'layout' && values.boxes === undefined)
    throw new UsageError(
      `${model.checkpoint.label} makes pictures of boxes. Give each object with --box CLASS,X,Y,W,H, such as --box 12,0.1,0.2,0.5,0.5.`,
    );
}

/** Notes prompts that are longer than the text encoder reads. */
function notePrompts(model: Model, prompts: readonly string[], context: CliContext, progress: Progress): void {
  if (!model.tokenizer || prompts.length === 0) return;
  const long = model.tokenize(prompts).truncated.filter((truncated) => truncated).length;
  if (long === 0) return;
  progress.clear();
  const most = model.checkpoint.config.cond_stage_max_length - 2;
  context.err.write(
    `sd: ${long === 1 && prompts.length === 1 ? 'The prompt is' : `${long} of ${prompts.length} prompts are`} longer than ${most} tokens; the rest is ignored.\n`,
  );
}
