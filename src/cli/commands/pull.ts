/** `sd pull`: a model by its name onto this machine. */

import { defineCommand } from '../command.ts';
import { flag, text } from '../options.ts';

const options = {
  variant: text(['--variant'], 'NAME', 'of a diffusers repository: files of this variant, such as fp16'),
  json: flag(['--json'], 'print the path as JSON'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
};

export const pull = defineCommand({
  description:
    "Downloads a model and prints its path: hf:ORG/NAME[@REVISION][/FILE] or ORG/NAME of Hugging Face, an address, civitai:VERSION, or a short name (sd models --known). It is kept in the cache that Python's huggingface_hub uses as well; what is kept is not downloaded again. An interrupted download is resumed, and every file is verified by its digest. HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and CIVITAI_TOKEN are honoured.",
  words: '<name>',
  options,
  examples: [
    'sd pull sd-v1-5',
    'sd pull stable-diffusion-v1-5/stable-diffusion-v1-5 --variant fp16',
    'sd pull hf:stable-diffusion-v1-5/stable-diffusion-v1-5/v1-5-pruned-emaonly.safetensors',
    'sd pull civitai:128713',
  ],
  async run(context, [name = ''], values) {
    const { parseModelName } = await import('../../hub/model-name.ts');
    const { shortNames } = await import('../../hub/short-names.ts');
    const { pullModel } = await import('../../hub/pull-node.ts');
    const { UsageError } = await import('../options.ts');
    const { pullOptions, sizeText } = await import('../download-progress.ts');
    const parsed = parseModelName(name);
    if (!parsed)
      throw new UsageError(
        `${name} is not a name of a model. Examples: sd-v1-5, ORG/NAME, hf:ORG/NAME/FILE, https://…, civitai:VERSION.`,
      );
    const short = Object.hasOwn(shortNames, name) ? shortNames[name] : undefined;
    if (short && !values.quiet)
      context.err.write(`sd: ${short.what}, about ${sizeText(short.bytes)}. Licence: ${short.licence}.\n`);
    const quiet = values.quiet || values.json;
    const path = await pullModel(parsed, name, await pullOptions(context, { quiet, variant: values.variant }));
    context.out.write(values.json ? `${JSON.stringify({ path })}\n` : `${path}\n`);
    return 0;
  },
});
