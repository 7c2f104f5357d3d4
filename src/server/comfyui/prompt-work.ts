/** The work of a workflow, for fair shares and for the limits of the operator. */

import { StableDiffusionError } from '../../errors.ts';
import { demandsOf, workOfDemands } from '../../workflow/estimate-work.ts';
import type { ApiGraph } from '../../workflow/graph.ts';
import { floatBytes } from '../../workflow/memory-budget.ts';
import type { Limits } from '../limits.ts';

function beyond(id: string, what: string, found: number, most: number, flag: string): StableDiffusionError {
  return new StableDiffusionError(
    'too-large',
    `Node ${id} of the workflow asks for ${found} ${what}, and this server makes at most ${most}. Its operator can allow more with ${flag}.`,
    { details: { status: 400 } },
  );
}

/** Throws `too-large` for a text longer than a prompt may be: a text is encoded as a whole. */
export function checkTexts(graph: ApiGraph, { promptLength }: Limits): void {
  for (const [id, { inputs }] of graph)
    for (const [name, value] of Object.entries(inputs))
      if (typeof value === 'string' && value.length > promptLength)
        throw new StableDiffusionError(
          'too-large',
          `The input ${name.slice(0, 100)} of node ${id} has ${value.length} characters, and at most ${promptLength} are taken.`,
          { details: { status: 400 } },
        );
}

/** Steps times pixels times pictures, twice for guidance. Throws `too-large` beyond the operator's limits. */
export function workOfGraph(graph: ApiGraph, limits: Limits): number {
  const demands = demandsOf(graph);
  for (const { id, steps, pixels, pictures } of demands) {
    if (steps > limits.steps) throw beyond(id, 'steps', steps, limits.steps, '--max-steps');
    if (pixels > limits.pixels) throw beyond(id, 'pixels in a picture', pixels, limits.pixels, '--max-pixels');
    if (pictures > limits.pictures) throw beyond(id, 'pictures', pictures, limits.pictures, '--max-pictures');
    const bytes = floatBytes(pictures, pixels, 3);
    if (bytes > limits.workflowMemory)
      throw beyond(id, 'bytes of pictures', bytes, limits.workflowMemory, '--max-workflow-memory');
  }
  const work = 2 * workOfDemands(demands);
  if (work > limits.jobWork)
    throw new StableDiffusionError(
      'too-large',
      `The workflow's steps x pixels x pictures, twice with guidance, are ${work}, and this server makes at most ${limits.jobWork}. Its operator can allow more with --max-work.`,
      { details: { status: 400 } },
    );
  return work;
}
