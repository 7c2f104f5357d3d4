/** `sd models`: the models that are kept on this machine and those of a folder, and the short names there are. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeptModel } from '../../hub/hub-cache-node.ts';
import { defineCommand } from '../command.ts';
import { flag, type OptionValues, text } from '../options.ts';

const options = {
  models: text(['--models'], 'DIR', 'folder of further models, as for sd serve'),
  a1111: text(['--a1111'], 'DIR', "folder of A1111's program, whose models are listed as well"),
  comfyui: text(['--comfyui'], 'DIR', "folder of ComfyUI's program, whose models are listed as well"),
  known: flag(['--known'], 'list the short names with licence and size instead'),
  json: flag(['--json'], 'print JSON'),
};

export const models = defineCommand({
  description:
    "Lists the models in Hugging Face's cache with their size and what each is, including downloads of other programs, and those of a folder (--models or SD_MODELS); with --known the short names that sd pull and --model understand.",
  options,
  takesSettings: true,
  examples: ['sd models', 'sd models --models checkpoints/', 'sd models --known'],
  async run({ out, environment }, _words, values) {
    const { sizeText } = await import('../download-progress.ts');
    if (values.known) {
      const { shortNames } = await import('../../hub/short-names.ts');
      if (values.json) out.write(`${JSON.stringify(shortNames)}\n`);
      else
        for (const [name, { what, licence, bytes }] of Object.entries(shortNames))
          out.write(`${name.padEnd(20)} ${what}, ${sizeText(bytes)}, ${licence}\n`);
      return 0;
    }
    const { keptModels } = await import('../../hub/hub-cache-node.ts');
    const { ownHubSettings } = await import('../../hub/pull-node.ts');
    const settings = ownHubSettings(environment);
    const kept = await keptModels(settings.cache);
    const described = new Map<string, readonly DescribedFile[]>();
    for (const model of kept) described.set(model.repository, await describedFiles(model));
    const folder = await folderOf(values);
    const own = folder === undefined ? [] : await modelsOfFolder(folder);
    if (values.json) {
      const listed = kept.map((model) => ({ ...model, contents: described.get(model.repository) }));
      out.write(`${JSON.stringify({ cache: settings.cache, models: listed, folder, files: own })}\n`);
    } else if (kept.length === 0 && folder === undefined)
      out.write(`No models are kept in ${settings.cache}. Get one with: sd pull sd-v1-5\n`);
    else {
      for (const { repository, bytes, revisions } of kept) {
        const names = revisions.flatMap(({ names: of, commit }) => (of.length > 0 ? of : [commit.slice(0, 8)]));
        out.write(`${sizeText(bytes).padStart(10)}  ${repository}  ${names.join(', ')}\n`);
        for (const { file, what } of described.get(repository) ?? [])
          out.write(`${' '.repeat(12)}${file === '' ? '' : `${file}: `}${what}\n`);
      }
      if (folder !== undefined)
        out.write(`${own.length === 0 ? 'No models are in' : 'In'} ${folder}${own.length === 0 ? '.' : ':'}\n`);
      for (const { file, bytes, what } of own)
        out.write(`${sizeText(bytes).padStart(10)}  ${file}\n${' '.repeat(12)}${what}\n`);
    }
    return 0;
  },
});

interface DescribedFile {
  /** Below the snapshot; empty for a whole diffusers folder. */
  readonly file: string;
  readonly what: string;
}

/** The folder of models that `sd serve` would have with these options. Throws `UsageError`. */
async function folderOf(values: OptionValues<typeof options>): Promise<string | undefined> {
  if ((values.models ?? values.a1111 ?? values.comfyui) === undefined) return undefined;
  const { modelFolders } = await import('../server-options.ts');
  const none = {
    loras: undefined,
    vaes: undefined,
    embeddings: undefined,
    controlModels: undefined,
    annotators: undefined,
  };
  return modelFolders({ ...none, ...values }).modelsFolder;
}

/** The models of a folder, as the server lists them, with their size and what each is. Throws `file-not-found`. */
async function modelsOfFolder(folder: string): Promise<(DescribedFile & { readonly bytes: number })[]> {
  const { modelEntries, isFolderModel } = await import('../../server/models/model-catalog.ts');
  const { whatFileIs } = await import('../../model/what-file-node.ts');
  const { visible } = await import('../../visible.ts');
  const found: (DescribedFile & { readonly bytes: number })[] = [];
  for (const { file, path } of await modelEntries(folder)) {
    const what = await whatFileIs(path, await isFolderModel(path));
    found.push({ file: visible(file), what: visible(what), bytes: await sizeOf(path) });
  }
  return found;
}

/** Bytes of a file, or of the files in a folder. */
async function sizeOf(path: string): Promise<number> {
  const names = await readdir(path, { recursive: true }).catch(() => ['']);
  let bytes = 0;
  for (const name of names) {
    const status = await stat(join(path, name)).catch(() => undefined);
    if (status?.isFile()) bytes += status.size;
  }
  return bytes;
}

/** Files of a model that are looked at. */
const mostFiles = 24;

/** What the newest revision of a kept model holds: the folder as a whole, or its files of weights outside of folders. */
async function describedFiles({ folder, revisions }: KeptModel): Promise<DescribedFile[]> {
  const { whatFileIs } = await import('../../model/what-file-node.ts');
  const { visible } = await import('../../visible.ts');
  const [newest] = revisions.toSorted((a, b) => b.names.length - a.names.length || b.files.length - a.files.length);
  if (!newest) return [];
  const path = join(folder, 'snapshots', newest.commit);
  if (newest.files.includes('model_index.json')) return [{ file: '', what: visible(await whatFileIs(path, true)) }];
  const weights = newest.files.filter((name) => /^[^/\\]+\.(?:safetensors|sft|ckpt|pth?|gguf|bin)$/i.test(name));
  const found: DescribedFile[] = [];
  for (const file of weights.slice(0, mostFiles))
    found.push({ file: visible(file), what: visible(await whatFileIs(join(path, file))) });
  return found;
}
