/** `sd models`: the models that are kept on this machine, and the short names there are. */

import { join } from 'node:path';
import type { KeptModel } from '../../hub/hub-cache-node.ts';
import { defineCommand } from '../command.ts';
import { flag } from '../options.ts';

const options = {
  known: flag(['--known'], 'list the short names with licence and size instead'),
  json: flag(['--json'], 'print JSON'),
};

export const models = defineCommand({
  description:
    "Lists the models in Hugging Face's cache with their size and what each is, including downloads of other programs; with --known the short names that sd pull and --model understand.",
  options,
  examples: ['sd models', 'sd models --known'],
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
    if (values.json) {
      const listed = kept.map((model) => ({ ...model, contents: described.get(model.repository) }));
      out.write(`${JSON.stringify({ cache: settings.cache, models: listed })}\n`);
    } else if (kept.length === 0) out.write(`No models are kept in ${settings.cache}. Get one with: sd pull sd-v1-5\n`);
    else
      for (const { repository, bytes, revisions } of kept) {
        const names = revisions.flatMap(({ names: of, commit }) => (of.length > 0 ? of : [commit.slice(0, 8)]));
        out.write(`${sizeText(bytes).padStart(10)}  ${repository}  ${names.join(', ')}\n`);
        for (const { file, what } of described.get(repository) ?? [])
          out.write(`${' '.repeat(12)}${file === '' ? '' : `${file}: `}${what}\n`);
      }
    return 0;
  },
});

interface DescribedFile {
  /** Below the snapshot; empty for a whole diffusers folder. */
  readonly file: string;
  readonly what: string;
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
