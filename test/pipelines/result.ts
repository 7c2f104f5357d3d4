/** The result of a pipeline for tests: none may pass because no result came. */

import type { Pipeline, PipelineEvent } from '../../src/pipelines/events.ts';

export type PipelineResult = Extract<PipelineEvent, { readonly kind: 'result' }>;

/** Runs the pipeline to its end and returns its `result` event. Throws where none came, where it has no picture, or where it was not the last event. */
export async function resultOf(pipeline: Pipeline, onEvent?: (event: PipelineEvent) => void): Promise<PipelineResult> {
  let result: PipelineResult | undefined;
  for await (const event of pipeline) {
    if (result) throw new Error(`the event ${event.kind} came after the result`);
    onEvent?.(event);
    if (event.kind === 'result') result = event;
  }
  if (!result) throw new Error('the pipeline ended without a result');
  if (result.images.length === 0) throw new Error('the result has no picture');
  return result;
}
