/** Runs a workflow for `sd run` and `sd replay`, with its progress node by node. */

import type { WorkflowFiles } from '../workflow/context.ts';
import type { ApiGraph } from '../workflow/graph.ts';
import type { WorkflowResult } from '../workflow/execute.ts';
import type { WorkflowEvent } from '../workflow/events.ts';
import type { CliContext } from './command.ts';
import { type engineOptions, startEngine } from './engine-options.ts';
import type { OptionValues } from './options.ts';
import { createProgress } from './progress.ts';
import { type WorkflowFile, type WorkflowFolderValues, workflowContext, workflowFiles } from './workflow-files.ts';

export interface RunValues extends WorkflowFolderValues {
  readonly outdir: string;
  readonly quiet: boolean;
  readonly device: OptionValues<typeof engineOptions>['device'];
  readonly threads: number | undefined;
}

/** Shows which node runs, of how many, and its steps. */
function nodeProgress(context: CliContext, graph: ApiGraph, quiet: boolean): (event: WorkflowEvent) => void {
  const progress = createProgress(context.err, context.now, quiet);
  let begun = 0;
  const labelOf = (node: string): string => `${begun}/${graph.size} ${graph.get(node)?.class_type ?? node}`;
  return (event) => {
    if (event.kind === 'executing') {
      begun++;
      progress.stage(labelOf(event.node));
    } else if (event.kind === 'progress') progress.step(labelOf(event.node), event.value, event.max);
    else if (event.kind === 'success' || event.kind === 'error' || event.kind === 'interrupted') progress.clear();
  };
}

/** `through` changes what the workflow reads and writes. Throws what `runWorkflow` throws. */
export async function runWorkflowFile(
  context: CliContext,
  { graph, extraPngInfo }: WorkflowFile,
  values: RunValues,
  through: (files: WorkflowFiles) => WorkflowFiles = (files) => files,
): Promise<WorkflowResult> {
  const { runWorkflow } = await import('../workflow/run-workflow-node.ts');
  const files = through(await workflowFiles(values, values.outdir));
  const { device, threads, quiet } = values;
  await using engine = await startEngine({ device, threads }, context);
  const own = await workflowContext(files, engine);
  try {
    const onEvent = nodeProgress(context, graph, quiet);
    return await runWorkflow(graph, { context: own, onEvent, signal: context.signal, extraPngInfo });
  } finally {
    await own.networks.dispose();
  }
}
