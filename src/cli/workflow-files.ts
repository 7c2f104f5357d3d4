/** A workflow from a file (JSON, or a picture that carries one), and the folders and models that it may use. */

import { join, resolve } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import type { Engine } from '../engine/engine.ts';
import type { WorkflowContext, WorkflowFiles } from '../workflow/context.ts';
import type { ApiGraph } from '../workflow/graph.ts';
import { text } from './options.ts';

/** A workflow as a file has it. */
export interface WorkflowFile {
  readonly graph: ApiGraph;
  /** What its pictures are to carry besides the graph: the page's own form of it. */
  readonly extraPngInfo?: Readonly<Record<string, unknown>> | undefined;
}

/** The workflow of a text, in the format of ComfyUI's API or of its page. Throws `file-corrupt`, `invalid-argument`, `too-large`. */
async function workflowOfText(path: string, json: string): Promise<WorkflowFile> {
  const { isExactObject, parseExactJson } = await import('../formats/exact-json.ts');
  const { anyGraph } = await import('../workflow/page/page-to-api.ts');
  const { isPageFormat } = await import('../workflow/page/page-graph.ts');
  const { nodes } = await import('../workflow/nodes/index.ts');
  const value = parseExactJson(json, path);
  // A body of POST /prompt has the graph inside.
  const inner = isExactObject(value) && isExactObject(value['prompt']) ? value['prompt'] : value;
  const graph = anyGraph(inner, { nodes });
  return isPageFormat(inner) ? { graph, extraPngInfo: { workflow: inner } } : { graph };
}

/** Reads the file. Throws `file-corrupt`, `file-unsupported`, `invalid-argument`, and what reading throws. */
export async function readWorkflow(path: string): Promise<WorkflowFile> {
  const { readFileOf } = await import('../files/open-node.ts');
  const bytes = await readFileOf('picture', path);
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  if (!isPng && (bytes[0] === 0xff || bytes[0] === 0x52))
    throw new StableDiffusionError('file-unsupported', `${path} is no PNG, and only those carry a workflow.`);
  if (!isPng) return workflowOfText(path, new TextDecoder().decode(bytes));
  const { readPngText } = await import('../image/metadata/png-text.ts');
  const { texts } = readPngText(bytes);
  const [prompt, page] = [texts.get('prompt'), texts.get('workflow')];
  if (prompt === undefined && page === undefined)
    throw new StableDiffusionError('invalid-argument', `${path} carries no workflow of ComfyUI's.`);
  if (prompt === undefined) return workflowOfText(path, page ?? '');
  const { graph } = await workflowOfText(path, prompt);
  if (page === undefined) return { graph };
  const { parseExactJson } = await import('../formats/exact-json.ts');
  return { graph, extraPngInfo: { workflow: parseExactJson(page, path) } };
}

export const workflowOptions = {
  model: text(['--model', '--ckpt'], 'FILE', 'a checkpoint that workflows may name (default: the pocket model)'),
  models: text(['--models'], 'DIR', 'folder of checkpoints'),
  comfyui: text(['--comfyui'], 'DIR', "ComfyUI's folder: its models, and the pictures in its folder input"),
  input: text(['--input'], 'DIR', 'folder of pictures that the workflow reads (default: input of --comfyui, else .)'),
};

export interface WorkflowFolderValues {
  readonly model?: string | undefined;
  readonly models?: string | undefined;
  readonly comfyui?: string | undefined;
  readonly input?: string | undefined;
}

/** The files that a workflow sees; it writes to `outdir`. */
export async function workflowFiles(values: WorkflowFolderValues, outdir: string): Promise<WorkflowFiles> {
  const { pocketModel } = await import('../model/load-model-node.ts');
  const { openModelCatalog } = await import('../server/models/model-catalog.ts');
  const { filesWithCatalog } = await import('../server/comfyui/workflow-files.ts');
  const { comfyui, models, model = pocketModel, input } = values;
  const root = comfyui === undefined ? undefined : join(comfyui, 'models');
  const folder = models ?? (root === undefined ? undefined : join(root, 'checkpoints'));
  const catalog = await openModelCatalog({ model, folder });
  const from = input ?? (comfyui === undefined ? '.' : join(comfyui, 'input'));
  const folders = { input: resolve(from), output: resolve(outdir), temp: resolve(outdir, 'temp') };
  return filesWithCatalog({ catalog, root, ...folders });
}

/** A context over these files. Dispose of its networks at the end. */
export async function workflowContext(files: WorkflowFiles, engine: Engine): Promise<WorkflowContext> {
  const { NetworkPool } = await import('../workflow/network-pool.ts');
  const { nodeImageCodec } = await import('../image/codec/codec-node.ts');
  const { decodeFrames } = await import('../image/codec/frames-node.ts');
  return { files, networks: new NetworkPool(engine), codec: nodeImageCodec, decodeFrames, now: () => new Date() };
}
