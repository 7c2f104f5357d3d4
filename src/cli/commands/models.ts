/** `sd models`: the models that are kept on this machine, and the short names there are. */

import { defineCommand } from '../command.ts';
import { flag } from '../options.ts';

const options = {
  known: flag(['--known'], 'list the short names with licence and size instead'),
  json: flag(['--json'], 'print JSON'),
};

export const models = defineCommand({
  description:
    "Lists the models in Hugging Face's cache with their size, including downloads of other programs; with --known the short names that sd pull and --model understand.",
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
    if (values.json) out.write(`${JSON.stringify({ cache: settings.cache, models: kept })}\n`);
    else if (kept.length === 0) out.write(`No models are kept in ${settings.cache}. Get one with: sd pull sd-v1-5\n`);
    else
      for (const { repository, bytes, revisions } of kept) {
        const names = revisions.flatMap(({ names: of, commit }) => (of.length > 0 ? of : [commit.slice(0, 8)]));
        out.write(`${sizeText(bytes).padStart(10)}  ${repository}  ${names.join(', ')}\n`);
      }
    return 0;
  },
});
