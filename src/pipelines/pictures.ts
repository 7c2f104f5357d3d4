/** The pictures of a run, for callers that need no events. */

import { demand } from '../arguments.ts';
import { StableDiffusionError } from '../errors.ts';
import type { GeneratedImage, Pipeline, PipelineEvent } from './events.ts';

export interface PicturesOptions {
  /** Called after each step. */
  readonly onStep?: (event: Extract<PipelineEvent, { kind: 'step' }>) => void;
}

/**
 * Runs a pipeline to its end and gives its pictures.
 * @example
 * const [picture] = await pictures(textToImage(model, { prompt: 'a red apple' }));
 * @throws what the pipeline throws
 */
export async function pictures(
  pipeline: Pipeline,
  { onStep }: PicturesOptions = {},
): Promise<readonly GeneratedImage[]> {
  demand(
    typeof pipeline === 'object' && pipeline !== null && Symbol.asyncIterator in pipeline,
    'The run',
    'what textToImage, imageToImage, inpaint or generate gives',
    pipeline,
  );
  for await (const event of pipeline) {
    if (event.kind === 'step') onStep?.(event);
    if (event.kind === 'result') return event.images;
  }
  throw new StableDiffusionError('aborted', 'The run ended without pictures.');
}
