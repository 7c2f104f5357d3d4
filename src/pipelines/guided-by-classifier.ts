/** A run that a classifier guides towards classes. */

import { classifierGuidance } from '../diffusion/classifier-guidance.ts';
import type { GuidanceTerm } from '../diffusion/guidance.ts';
import { StableDiffusionError } from '../errors.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';

interface Guided {
  readonly request: GenerationRequest;
  readonly inputs: AnyInputs;
}

/** The classes of a batch as the model's own condition: none where they are the classifier's alone. */
export function classesOfModel(
  { conditioner }: Model,
  { inputs }: Guided,
  { classLabels }: BatchSettings,
): Pick<BatchSettings, 'classLabels'> {
  return { classLabels: inputs.classifier && conditioner.takes !== 'classes' ? undefined : classLabels };
}

/** The classifier's term of a batch. */
export function classifierTerms({ request, inputs }: Guided, { classLabels }: BatchSettings): readonly GuidanceTerm[] {
  const { classifier } = inputs;
  if (!classifier || !classLabels) return [];
  const gradient: Parameters<typeof classifierGuidance>[0] = (x, timestep, signal) =>
    classifier.gradient(
      x,
      timestep,
      Array.from({ length: x.shape[0] ?? 1 }, (_, i) => classLabels[i % classLabels.length] as number),
      signal,
    );
  return [classifierGuidance(gradient, request.classifierScale ?? 1)];
}

/** Throws `invalid-argument` for a classifier that cannot guide the run. */
export function checkClassifier(model: Model, { request, inputs }: Guided, latent: readonly number[]): void {
  const { classifier } = inputs;
  const refused = (message: string): StableDiffusionError => new StableDiffusionError('invalid-argument', message);
  if (!classifier) {
    if (request.classifier !== undefined)
      throw refused(`The classifier ${request.classifier} was not loaded. Load it and give it as \`classifier\`.`);
    if (request.classifierScale !== undefined) throw refused('classifierScale needs a classifier.');
    return;
  }
  const { classLabels } = request;
  if (!classLabels) throw refused(`${classifier.label} guides towards classes, and none was given. Give classLabels.`);
  const wrong = classLabels.find((label) => label >= classifier.classes);
  if (wrong !== undefined)
    throw refused(
      `The class is ${wrong}; the classifier ${classifier.label} has the classes 0 to ${classifier.classes - 1}.`,
    );
  const [, channels, height, width] = latent;
  if (channels !== classifier.channels || height !== classifier.side || width !== classifier.side)
    throw refused(
      `${classifier.label} judges latents of ${classifier.channels} channels and ${classifier.side}x${classifier.side}, and this run has ${channels} and ${width}x${height}. Use the size that it was trained with.`,
    );
  if (request.promptSyntax === 'a1111' || model.checkpoint.kind === 'ip2p' || request.patches || inputs.refiner)
    throw refused(
      "A classifier does not guide runs with A1111's prompt syntax, patches, a refiner, or a model that is guided by a picture. Leave one of them out.",
    );
}
