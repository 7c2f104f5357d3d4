/** `sd rm`: removes a model that is kept. */

import { defineCommand } from '../command.ts';
import { flag, UsageError } from '../options.ts';

const options = { json: flag(['--json'], 'print JSON') };

export const rm = defineCommand({
  description:
    "Removes a model of Hugging Face from the cache, with all its revisions. Python's programs use the same cache: they download it again when they need it.",
  words: '<name>',
  options,
  examples: ['sd rm stable-diffusion-v1-5/stable-diffusion-v1-5', 'sd rm sd-v1-5'],
  async run({ out, environment }, [name = ''], values) {
    const { parseModelName } = await import('../../hub/model-name.ts');
    const { removeKept } = await import('../../hub/hub-cache-node.ts');
    const { ownHubSettings } = await import('../../hub/pull-node.ts');
    const { sizeText } = await import('../download-progress.ts');
    const parsed = parseModelName(name);
    if (parsed?.kind !== 'hub') throw new UsageError(`${name} is not a model of Hugging Face. See: sd models`);
    const bytes = await removeKept(ownHubSettings(environment).cache, parsed.repository);
    out.write(
      values.json
        ? `${JSON.stringify({ removed: parsed.repository, bytes })}\n`
        : `${parsed.repository} is removed; ${sizeText(bytes)} are free again.\n`,
    );
    return 0;
  },
});
