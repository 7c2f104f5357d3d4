/** Further models of a run: a refiner, a classifier that guides, and the stages of a cascade. */

import type { Classifier } from '../model/classifier.ts';
import type { Model } from '../model/model.ts';
import type { CliContext } from './command.ts';

interface Named {
  readonly refiner?: string | undefined;
  readonly classifier?: string | undefined;
  /** Stages that enlarge, in their order. */
  readonly enlarge?: readonly string[] | undefined;
}

export interface RunModels extends AsyncDisposable {
  readonly refiner: Model | undefined;
  readonly classifier: Classifier | undefined;
  readonly stages: readonly Model[];
}

/** Loads them on the engine of the first model. Those that were loaded before one fails are freed. */
export async function openRunModels(
  context: CliContext,
  { refiner, classifier, enlarge = [] }: Named,
  model: Model,
  values: { readonly quiet: boolean; readonly json: boolean },
): Promise<RunModels> {
  const closing: (() => Promise<void>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const close of closing.reverse()) await close();
  };
  const load = async (name: string): Promise<Model> => {
    const { loadModel } = await import('../model/load-model-node.ts');
    const { pullOptions } = await import('./download-progress.ts');
    const hub = await pullOptions(context, { quiet: values.quiet || values.json });
    const loaded = await loadModel(name, {
      engine: model.networks.engine,
      precision: model.precision,
      memory: model.memory,
      hub,
    });
    closing.push(() => loaded.dispose());
    return loaded;
  };
  const judge = async (path: string): Promise<Classifier> => {
    const { loadClassifier } = await import('../model/load-classifier-node.ts');
    const loaded = await loadClassifier(path, model);
    closing.push(async () => loaded[Symbol.asyncDispose]());
    return loaded;
  };
  try {
    const second = refiner === undefined ? undefined : await load(refiner);
    const guide = classifier === undefined ? undefined : await judge(classifier);
    const stages: Model[] = [];
    for (const name of enlarge) stages.push(await load(name));
    return { refiner: second, classifier: guide, stages, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
