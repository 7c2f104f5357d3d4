/** `sd workflow`: what a workflow of ComfyUI's needs and is not here, and a workflow of a picture's settings. */

import { defineCommand } from '../command.ts';
import { flag, text, UsageError } from '../options.ts';
import { type WorkflowFolderValues, workflowOptions } from '../workflow-files.ts';
import type { CliContext } from '../command.ts';

const options = {
  ...workflowOptions,
  output: text(['--output', '-o'], 'FILE', 'from: write the workflow to this file (default: standard output)'),
  force: flag(['--force'], 'replace the file of --output'),
  json: flag(['--json'], 'check: print what is missing as JSON'),
};

/** What is missing, for people: a line for each class of nodes and each file. */
async function check(
  context: CliContext,
  path: string,
  values: WorkflowFolderValues & { readonly json: boolean },
): Promise<number> {
  const { readWorkflow, workflowFiles } = await import('../workflow-files.ts');
  const { missingOf } = await import('../../workflow/missing.ts');
  const { nodes } = await import('../../workflow/nodes/index.ts');
  const { knownFile } = await import('../../hub/known-files.ts');
  const { graph } = await readWorkflow(path);
  const files = await workflowFiles(values, 'outputs/workflow');
  const missing = missingOf(graph, nodes, await files.lists());
  const found = { nodes: missing.nodes, files: missing.files.map((file) => ({ ...file, pull: knownFile(file.name) })) };
  const isWhole = found.nodes.length + found.files.length === 0;
  if (values.json) context.out.write(`${JSON.stringify(found)}\n`);
  else if (isWhole) context.out.write(`All ${graph.size} nodes of ${path} can run.\n`);
  for (const { classType, nodes: ids } of values.json ? [] : found.nodes)
    context.out.write(`No node ${classType || 'without a class'} (${ids.join(', ')}).\n`);
  for (const { kind, name, nodes: ids, pull } of values.json ? [] : found.files) {
    const from = pull === undefined ? '' : ` It can be had with: sd pull ${pull}`;
    context.out.write(`No file ${name} in ${kind.replace('_', ' ')} (${ids.join(', ')}).${from}\n`);
  }
  return isWhole ? 0 : 1;
}

/** The workflow that a picture carries, else one with the settings of its record. */
async function from(
  context: CliContext,
  path: string,
  { output, force }: { readonly output?: string | undefined; readonly force: boolean },
): Promise<number> {
  const { workflowOfPicture } = await import('../picture-workflow.ts');
  const { text: json, notes } = await workflowOfPicture(path);
  for (const note of notes) context.err.write(`sd: Note: ${note}.\n`);
  if (output === undefined) context.out.write(`${json}\n`);
  else {
    const { writeNewText } = await import('../../files/write-file-node.ts');
    await writeNewText(output, `${json}\n`, { replace: force });
    context.out.write(`${output}\n`);
  }
  return 0;
}

export const workflow = defineCommand({
  description:
    "check FILE: says which nodes and files a workflow of ComfyUI's needs that are not here, and where files can be had; the exit code is 1 where something is missing. from PICTURE: writes the settings of a picture as a workflow in ComfyUI's API format.",
  words: '<check|from> <file>',
  wordChoices: ['check', 'from'],
  options,
  examples: ['sd workflow check workflow.json', 'sd workflow from picture.png -o workflow.json'],
  async run(context, [action = '', path = ''], values) {
    if (path === '') throw new UsageError('A file is required: sd workflow check FILE, or sd workflow from PICTURE.');
    if (action === 'check') return check(context, path, values);
    if (action === 'from') return from(context, path, values);
    throw new UsageError(`${action} is not check or from.`);
  },
});
