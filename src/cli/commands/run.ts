/** `sd run`: a workflow of ComfyUI's from its file or from a picture that was made with it. */

import { join } from 'node:path';
import { defineCommand } from '../command.ts';
import { engineOptions } from '../engine-options.ts';
import { flag, list, text } from '../options.ts';
import { workflowOptions } from '../workflow-files.ts';

const options = {
  set: list(
    ['--set'],
    'NODE.INPUT=VALUE',
    'change an input; NODE is a number, or a class or title of which there is one; can be repeated',
    (given) => given,
  ),
  ...workflowOptions,
  outdir: text(['--outdir'], 'DIR', 'folder that the workflow writes to (default: outputs/workflow)'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  json: flag(['--json'], 'print what each output node shows as a line of JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

/** A file as output nodes name it. */
interface ShownFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: string;
}

const isFile = (value: unknown): value is ShownFile =>
  typeof value === 'object' && value !== null && 'filename' in value && 'subfolder' in value;

export const run = defineCommand({
  description:
    "Runs a workflow of ComfyUI's: a file that its page saved or exported, or a picture that carries one. Writes what the workflow's output nodes write, and prints the paths.",
  words: '<workflow>',
  options,
  examples: [
    'sd run workflow.json',
    'sd run workflow.json --set KSampler.seed=7 --set 6.text="a lighthouse"',
    'sd run picture.png --comfyui ~/ComfyUI',
  ],
  async run(context, [path = ''], values) {
    const { readWorkflow } = await import('../workflow-files.ts');
    const { runWorkflowFile } = await import('../run-workflow.ts');
    const { withInputs } = await import('../../workflow/set-inputs.ts');
    const { outdir = join('outputs', 'workflow') } = values;
    const file = await readWorkflow(path);
    const graph = withInputs(file.graph, values.set ?? []);
    const quiet = values.quiet || values.json;
    const { outputs } = await runWorkflowFile(context, { ...file, graph }, { ...values, outdir, quiet });
    if (values.json) {
      context.out.write(`${JSON.stringify(outputs)}\n`);
      return 0;
    }
    for (const shown of Object.values(outputs))
      for (const one of Object.values(shown).flat()) {
        if (!isFile(one)) context.out.write(`${typeof one === 'string' ? one : JSON.stringify(one)}\n`);
        else if (one.type !== 'input')
          context.out.write(`${join(outdir, one.type === 'temp' ? 'temp' : '', one.subfolder, one.filename)}\n`);
      }
    return 0;
  },
});
