/** `sd eval guidance`: FID against CLIP score over guidance scales. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuidanceCurve, GuidancePoint } from '../../evaluation/guidance-curve.ts';
import { readSeed } from '../generation.ts';
import { required, UsageError } from '../options.ts';
import { featuresOf, shown, writeGrid } from './pictures-of.ts';
import type { Task } from './task.ts';

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

/** So many captions of a folder, spread over it, because it may be sorted by subject. */
function spread(captions: readonly string[], wanted: number): readonly string[] {
  const count = Math.min(wanted, captions.length);
  return Array.from({ length: count }, (_, i) => captions[Math.floor((i * captions.length) / count)] as string);
}

/** Prompts of a file, read before the pictures are. Throws `invalid-argument` for fewer than are wanted. */
async function promptsOf({ prompts: path, count }: Task['values']): Promise<readonly string[] | undefined> {
  if (path === undefined) return undefined;
  const { captionList, drawnCaptions } = await import('../../evaluation/caption-list.ts');
  const { readTextOf } = await import('../../files/open-node.ts');
  const prompts = captionList(await readTextOf('text', path), path);
  drawnCaptions(prompts, count);
  return prompts;
}

/** The model cards' plot: FID against CLIP score. */
export async function guidance(task: Task): Promise<void> {
  const { context, values, progress, communicator } = task;
  const { guidanceSweep } = await import('../../evaluation/guidance-sweep.ts');
  const { writeGuidanceCurve } = await import('../../evaluation/guidance-curve-node.ts');
  const { makeFolder } = await import('../../files/make-folder-node.ts');
  const { checkFree } = await import('../../files/write-file-node.ts');
  const { drawnCaptions } = await import('../../evaluation/caption-list.ts');
  const scales = readScales(values.scales);
  const prompts = await promptsOf(values);
  const features = await task.openFeatures(required(values.features, '--features', 'eval'));
  const clip = values.clip === undefined ? features : await task.openFeatures(values.clip);
  const folder = values.output ?? join('outputs', 'eval');
  if (communicator.rank === 0) await makeFolder(folder);
  for (const ending of communicator.rank === 0 ? ['svg', 'png', 'json'] : [])
    await checkFree(join(folder, `fid-clip.${ending}`), values.force);
  const real = await featuresOf(required(values.real, '--real', 'eval'), undefined, features, task);
  const generate = { seed: readSeed(values.seed), steps: values.steps, sampler: values.sampler ?? 'plms' };
  const captions = prompts
    ? drawnCaptions(prompts, values.count, generate.seed)
    : spread(real.captions, values.count ?? real.captions.length);
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
      ranks: communicator,
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
  if (communicator.rank > 0) return;
  const notes = `${captions.length} captions, ${generate.steps ?? 50} steps of ${generate.sampler}, features of ${nameOf(required(values.features, '--features', 'eval'))}`;
  const paths = await writeGuidanceCurve(folder, curves, { notes, replace: values.force });
  if (values.json)
    context.out.write(`${await readFile(paths.find((path) => path.endsWith('.json')) as string, 'utf8')}`);
  else for (const path of paths) context.out.write(`${path}\n`);
}
