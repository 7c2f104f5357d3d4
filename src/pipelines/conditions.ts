/** What the UNet is told: the conditions of a batch, of prompts or classes, by what the model takes. */

import type { ComposedPrompt } from '../diffusion/composed-guidance.ts';
import type { Condition } from '../diffusion/guidance.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import { totalCalls } from '../diffusion/total-calls.ts';
import { StableDiffusionError } from '../errors.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { GenerateOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import { promptContexts } from './prompt-contexts.ts';

export interface Conditions {
  readonly condition: Condition;
  /** The empty or negative counterpart; undefined where there is no guidance. */
  readonly unconditional: Condition | undefined;
  /** Of prompts in A1111's syntax, in place of both: what each picture is told at a model call, counted from 0. */
  readonly promptsAt?: (call: number) => readonly ComposedPrompt[];
}

/** The condition of a batch and its empty counterpart. */
export async function conditionsOf(
  model: Model,
  settings: BatchSettings,
  options: GenerateOptions,
  sampler: Sampler,
): Promise<Conditions> {
  if (options.promptSyntax === 'a1111') {
    const { emphasis, commaBacktrack, firstPassSteps, oldScheduling } = options.promptSettings ?? {};
    const schedule = {
      steps: totalCalls(sampler, settings.steps),
      firstPassSteps: firstPassSteps && totalCalls(sampler, firstPassSteps),
      oldRule: oldScheduling,
    };
    const promptsAt = await promptContexts(model, settings, {
      emphasis,
      commaBacktrack,
      schedule,
      signal: options.signal,
    });
    return { condition: {}, unconditional: undefined, promptsAt };
  }
  const { config } = model.checkpoint;
  const guided = settings.guidanceScale !== 1;
  const { clipSkip, batch } = settings;
  const stage = model.networkConfig('cond_stage');
  const labels = (): number[] => {
    const given = options.classLabels ?? [];
    if (given.length === 0)
      throw new StableDiffusionError(
        'invalid-argument',
        `${model.checkpoint.label} makes pictures of classes: give the number of a class.`,
      );
    return Array.from({ length: batch }, (_, i) => given[i % given.length] as number);
  };
  if (config.unet_config.num_classes !== null) {
    const y = tensor('int64', [batch], BigInt64Array.from(labels(), BigInt));
    return { condition: { y }, unconditional: undefined };
  }
  switch (stage?.kind) {
    case 'clip_text':
    case 'bert':
    case 'clip_text_embedder': {
      const { signal } = options;
      const context = await encodeDistinct(model, settings.prompts, { clipSkip, signal });
      if (!guided) return { condition: { context }, unconditional: undefined };
      const negative = await encodeDistinct(model, settings.negatives, { clipSkip, signal });
      return { condition: { context }, unconditional: { context: negative } };
    }
    case 'class_embedder': {
      const context = await model.encodeClasses(labels(), options.signal);
      if (!guided) return { condition: { context }, unconditional: undefined };
      // CompVis's class-conditional sampling takes the last class as the empty one.
      const empty = await model.encodeClasses(
        Array.from({ length: batch }, () => stage.n_classes - 1),
        options.signal,
      );
      return { condition: { context }, unconditional: { context: empty } };
    }
    default:
      return { condition: {}, unconditional: undefined };
  }
}

/** Encodes each distinct prompt once; float32 [n, tokens, width] in the order of `prompts`. */
async function encodeDistinct(
  model: Model,
  prompts: readonly string[],
  options: { readonly clipSkip: number; readonly signal: AbortSignal | undefined },
): Promise<Tensor<'float32'>> {
  const distinct = [...new Set(prompts)];
  const encoded = await model.encodePrompts(distinct, options);
  const rows = prompts.map((prompt) => takeBatch(encoded, distinct.indexOf(prompt), distinct.indexOf(prompt) + 1));
  return rows.length > 0 ? joinBatches(rows) : encoded;
}
