/** A picture of ComfyUI's made again from the workflow that it carries. */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import type { WorkflowFiles } from '../workflow/context.ts';
import type { CliContext } from './command.ts';
import { runWorkflowFile, type RunValues } from './run-workflow.ts';
import { readWorkflow } from './workflow-files.ts';

/** Most steps x pixels x pictures of a workflow that was not allowed more: 100 steps of eight pictures of 1024 x 1024 pixels. */
const mostWork = 100 * 8 * 1024 * 1024;

export interface RemadePicture {
  readonly image: Image;
  /** The file as the workflow writes it. */
  readonly bytes: Uint8Array;
}

/** The pictures that the workflow writes, in its order; nothing is written to the disk. Throws `too-large` unasked for long work. */
export async function remakePictures(
  context: CliContext,
  path: string,
  values: Omit<RunValues, 'outdir'> & { readonly large: boolean },
): Promise<readonly RemadePicture[]> {
  const { demandsOf, workOfDemands } = await import('../workflow/estimate-work.ts');
  const { nodeImageCodec } = await import('../image/codec/codec-node.ts');
  const file = await readWorkflow(path);
  const work = workOfDemands(demandsOf(file.graph));
  if (work > mostWork && !values.large)
    throw new StableDiffusionError(
      'too-large',
      `The workflow in ${path} has about ${work} steps x pixels x pictures. That takes long; allow it with --large.`,
    );
  const written: Uint8Array[] = [];
  const inMemory = (files: WorkflowFiles): WorkflowFiles => ({
    ...files,
    async write(type, subfolder, filename, bytes) {
      // Models come in chunks, and are neither read nor compared.
      if (bytes instanceof Uint8Array) written.push(bytes);
      return { filename, subfolder, type };
    },
  });
  await runWorkflowFile(context, file, { ...values, outdir: 'outputs' }, inMemory);
  const pictures: RemadePicture[] = [];
  for (const bytes of written) {
    // A workflow may write other files too.
    const image = await nodeImageCodec.decode(bytes).catch(() => undefined);
    if (image) pictures.push({ image, bytes });
  }
  if (pictures.length === 0)
    throw new StableDiffusionError('invalid-argument', `The workflow in ${path} writes no picture.`);
  return pictures;
}
