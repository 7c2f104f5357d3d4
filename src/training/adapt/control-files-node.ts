/** The files that the training of a control network names: the network to train further, and the preprocessor that draws maps. */

import type { Engine } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { createAnnotator, preprocessorNamed, readAnnotator } from '../../preprocessors/index.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { ControlTrainingConfig } from './adapter-config.ts';
import type { MapDrawer } from './control-hints.ts';

export interface OpenedControl {
  readonly drawer?: MapDrawer;
  readonly start?: WeightSource;
  close(): Promise<void>;
}

const controlled = ['annotator_path', 'annotator_resolution', 'threshold_a', 'threshold_b'] as const;

/** Throws `config-invalid` for settings of a preprocessor without one, `invalid-argument` for an unknown one or one without its network's file. */
export async function openControlTraining(config: ControlTrainingConfig, engine: Engine): Promise<OpenedControl> {
  const {
    annotator: name,
    annotator_path: path,
    annotator_resolution,
    threshold_a,
    threshold_b,
    control_path,
  } = config;
  if (name === undefined) {
    const stray = controlled.find((key) => config[key] !== undefined);
    if (stray !== undefined)
      throw new StableDiffusionError(
        'config-invalid',
        `model.params.${stray} is a setting of a preprocessor, and model.params.annotator names none. Give annotator: canny, for example.`,
      );
  }
  const preprocessor = name === undefined ? undefined : preprocessorNamed(name);
  if (preprocessor?.network !== undefined && path === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `The preprocessor ${name} needs the weights of ${preprocessor.network}, and model.params.annotator_path names no file.`,
    );
  if (preprocessor && preprocessor.network === undefined && path !== undefined)
    throw new StableDiffusionError(
      'config-invalid',
      `The preprocessor ${name} needs no network. Leave out model.params.annotator_path.`,
    );
  const start = control_path === undefined ? undefined : await openWeightsAt(control_path);
  try {
    const annotator =
      path === undefined ? undefined : createAnnotator(engine, readAnnotator(await openWeightsAt(path)));
    const drawer: MapDrawer | undefined = preprocessor && {
      preprocessor,
      annotator,
      resolution: annotator_resolution,
      a: threshold_a,
      b: threshold_b,
    };
    return {
      ...(drawer ? { drawer } : {}),
      ...(start ? { start } : {}),
      async close() {
        await annotator?.[Symbol.asyncDispose]();
        await start?.close();
      },
    };
  } catch (error) {
    await start?.close();
    throw error;
  }
}
